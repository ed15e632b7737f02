package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryLimitFollowsTheMachine(t *testing.T) {
	const meminfo = "MemTotal:       24731708 kB\nMemFree:         4914112 kB\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nobody says", nil, 768 << 20},
		{"a small machine", map[string]string{"proc/meminfo": "MemTotal: 1048576 kB\n"}, 768 << 20},
		{"a large one", map[string]string{"proc/meminfo": meminfo}, 24731708 << 10 / 4},
		{"a container", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "4294967296\n"}, 1 << 30},
		{"a service", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/riposte.service\n",
			"sys/fs/cgroup/system.slice/riposte.service/memory.max": "max\n", "sys/fs/cgroup/system.slice/memory.max": "8589934592\n"}, 2 << 30},
		{"control groups of the first version", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/1\n0::/\n",
			"sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": "4294967296\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 1 << 30},
		{"no limit", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../x\n"}, 24731708 << 10 / 4},
	} {
		dir := t.TempDir()
		for name, text := range tt.files {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := memoryLimit(os.DirFS(dir)); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
