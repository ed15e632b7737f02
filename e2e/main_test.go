package e2e

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if role := os.Getenv(takerRole); role != "" {
		return take(role)
	}
	if os.Getenv(overloadRole) != "" {
		return runOverload()
	}
	dir, err := os.MkdirTemp("", "riposte-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	crashBinaryDir = dir
	return m.Run()
}
