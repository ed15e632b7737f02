package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine is what a reader must know beside the figures.
type machine struct {
	Began     time.Time `json:"began"`
	Commit    string    `json:"commit"`
	Cores     int       `json:"cores"`
	Processor string    `json:"processor"`
	MemoryGiB float64   `json:"memoryGiB"`
	Kernel    string    `json:"kernel"`
	Go        string    `json:"go"`
}

// thisMachine leaves empty what can't be found out.
func thisMachine() machine {
	m := machine{Began: time.Now().UTC().Truncate(time.Second), Cores: runtime.NumCPU(), Go: runtime.Version()}
	if said, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(said))
	}
	m.Processor = fieldOf("/proc/cpuinfo", "model name")
	var kib float64
	if _, err := fmt.Sscanf(fieldOf("/proc/meminfo", "MemTotal"), "%f kB", &kib); err == nil {
		m.MemoryGiB = float64(int(kib/(1<<20)*10)) / 10
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err == nil {
		m.Kernel = strings.TrimSpace(string(release))
	}
	return m
}

// fieldOf is the first value of a name in a file with lines of "name: value".
func fieldOf(file, name string) string {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if n, value, _ := strings.Cut(line, ":"); strings.TrimSpace(n) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (m machine) String() string {
	return fmt.Sprintf("%s, commit %s, %d cores (%s), %.1f GiB, Linux %s, %s",
		m.Began.Format("2006-01-02 15:04 UTC"), m.Commit, m.Cores, m.Processor, m.MemoryGiB, m.Kernel, m.Go)
}
