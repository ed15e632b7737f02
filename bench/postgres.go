package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

const databaseVariable = "RIPOSTE_TEST_DATABASE_URL"

func databaseURL() string { return os.Getenv(databaseVariable) }

// postgresProcesses are the server's processes: those of its connections, its
// own, and their parent.
func postgresProcesses(ctx context.Context) ([]int, error) {
	conn, err := pgx.Connect(ctx, databaseURL())
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	var any int
	if err := conn.QueryRow(ctx, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").Scan(&any); err != nil {
		return nil, err
	}
	postmaster, err := parent(any)
	if err != nil {
		return nil, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", postmaster))
	if err != nil {
		return nil, err
	}
	pids := []int{postmaster}
	for each := range strings.FieldsSeq(string(children)) {
		pid, err := strconv.Atoi(each)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

func parent(pid int) (int, error) {
	ppid, err := procField(pid, "status", "PPid:")
	if err == nil && ppid == 0 {
		err = errors.New("PostgreSQL runs on another machine, so nobody knows what it uses")
	}
	return int(ppid), err
}
