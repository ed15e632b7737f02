package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what processes have used up since they were started.
type usage struct {
	cpu             time.Duration
	written, fsyncs int64
	peak            int64 // resident bytes of the largest node
	mediumPeak      int64 // resident bytes of the medium's processes together
}

// add adds what another process has used up of what processes share.
func (u *usage) add(other usage) {
	u.cpu += other.cpu
	u.written += other.written
}

func (u usage) since(before usage) usage {
	return usage{u.cpu - before.cpu, u.written - before.written, u.fsyncs - before.fsyncs, u.peak, u.mediumPeak}
}

// hasEnded reports whether /proc had nothing more of a process: it is gone, or
// nobody has waited for it yet.
func hasEnded(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// clockTick is how often a second /proc counts CPU time; the kernel fixes it.
const clockTick = time.Second / 100

// usageOf is what /proc knows of a process and of its children that have ended,
// such as PostgreSQL's autovacuum workers; write_bytes has theirs anyway.
func usageOf(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The program's name, in parentheses, may have spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, at := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
		ticks, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(ticks) * clockTick
	}
	if u.written, err = procField(pid, "io", "write_bytes:"); err != nil {
		return u, err
	}
	kib, err := procField(pid, "status", "VmHWM:")
	u.peak = kib << 10
	return u, err
}

func procField(pid int, file, name string) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s: %w", f.Name(), name, fs.ErrNotExist) // the process has just ended
}
