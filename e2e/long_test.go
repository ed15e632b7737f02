package e2e

import "os"

// longVariable names the environment variable that asks for the long run; make
// test-long sets it.
const longVariable = "RIPOSTE_TEST_LONG"

// times is how often a test does what it does: the normal run must stay short.
func times(normal, long int) int {
	if os.Getenv(longVariable) != "" {
		return long
	}
	return normal
}
