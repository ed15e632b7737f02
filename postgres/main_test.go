package postgres_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// A run of the model costs a commit a step, so there are few unless the
	// command line asks for more.
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked {
		_ = flag.Set("rapid.checks", "10")
	}
	goleak.VerifyTestMain(m)
}
