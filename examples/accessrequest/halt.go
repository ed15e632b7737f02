package main

import (
	"fmt"
	"os"
	"sync"
)

// haltAt names the point at which the crash test wants this process to stand still.
var haltAt = os.Getenv("ACCESSREQUEST_HALT_AT")

var halted sync.Once

// halt marks a point between two things of which a crash may do only the first. The
// first to come by the point that the test named says so and waits for a byte on
// stdin, or to be killed.
func halt(point string) {
	if point == haltAt {
		halted.Do(func() {
			fmt.Println("halted at " + point)
			_, _ = os.Stdin.Read(make([]byte, 1))
		})
	}
}
