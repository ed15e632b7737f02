package main

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

const (
	// leastMemoryLimit does for small questions on a small machine. What a server can have
	// to hold at its most is more (docs/operations.md): on a machine that has the memory it
	// must not be spent on collecting garbage.
	leastMemoryLimit = 768 << 20
	// memoryShare is the part of the memory that garbage may fill up to.
	memoryShare = 4
)

// memoryLimit is from where on more garbage is collected than gcPercent says, in bytes,
// on the machine whose files are in root.
func memoryLimit(root fs.FS) int64 { return max(leastMemoryLimit, memory(root)/memoryShare) }

// memory is how much this process may have, in bytes: the machine's, or less where a
// control group that it is in has less. 0 where nobody says.
func memory(root fs.FS) int64 {
	var least int64
	allow := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	_, total, _ := strings.Cut(readText(root, "proc/meminfo"), "MemTotal:")
	if fields := strings.Fields(total); len(fields) > 0 {
		allow(number(fields[0]) << 10)
	}
	for line := range strings.Lines(readText(root, "proc/self/cgroup")) {
		id, controllersAndGroup, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(controllersAndGroup, ":")
		dir, file := "sys/fs/cgroup", "memory.max"
		switch {
		case id == "0":
		case controllers == "memory": // the first version's
			dir, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for ; ; group = path.Dir(group) { // those that it is in have their limits, too
			allow(number(readText(root, path.Join(dir, group, file))))
			if group == "/" || group == "." || group == "" {
				break
			}
		}
	}
	return least
}

// readText is empty for what can't be read.
func readText(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// number is 0 for what is none, such as max.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
