package browser

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

// chromium is what all tests of the package share; each has a tab of its own.
var chromium *Browser

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if chromium, err = Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	chromium.ExitOnInterrupt()
	closeBefore(flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration))
	code := m.Run()
	chromium.Close()
	os.Exit(code)
}

// closeBefore closes Chromium when the tests' time is nearly up, so that its
// profile is not left behind by their abrupt end.
func closeBefore(timeout time.Duration) {
	if timeout > 0 {
		time.AfterFunc(timeout*9/10, chromium.Close)
	}
}
