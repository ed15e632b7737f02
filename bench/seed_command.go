package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/riposte-dev/riposte/sqlite"
)

// seedDirectory makes a data directory with n mixed instances or a few more, so that
// somebody can look at a console that has much to show.
func seedDirectory(ctx context.Context, dir string, n int) error {
	if n < 1 {
		return fmt.Errorf("-n must be 1 or more, is %d", n)
	}
	database := filepath.Join(dir, sqlite.FileName)
	if _, err := os.Lstat(database); err == nil {
		return fmt.Errorf("%s is there already; name a new directory", database)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	copies := (n + mixedFirst - 1) / mixedFirst
	first := (n + copies - 1) / copies
	if err := seedMixed(ctx, directories{}, dir, copies*first, first, mixed); err != nil {
		return err
	}
	fmt.Printf("%d instances in %s. Nobody is to be asked for weeks. To look at them:\n  riposte serve --data %[2]s\n", copies*first+rareInstances, dir)
	return nil
}
