package sqlite

import (
	"errors"
	"fmt"

	"github.com/riposte-dev/riposte"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// code returns SQLite's primary result code, 0 for an error of another kind.
func code(err error) int { return extendedCode(err) & 0xff }

func extendedCode(err error) int {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Code()
	}
	return 0
}

// violatesUnique reports whether a row with the same key was there first.
func violatesUnique(err error) bool {
	switch extendedCode(err) {
	case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY:
		return true
	}
	return false
}

// dooms reports whether err leaves no hope for the whole transaction: SQLite
// may have rolled it back by itself, and the other ops would meet the same.
func dooms(err error) bool {
	switch code(err) {
	case lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_NOMEM, lib.SQLITE_BUSY, lib.SQLITE_LOCKED,
		lib.SQLITE_INTERRUPT, lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_CANTOPEN,
		lib.SQLITE_READONLY, lib.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// harmless reports whether a COMMIT that failed with err certainly committed
// nothing. A full disk is told before the frame that commits is written.
func harmless(err error) bool {
	switch code(err) {
	case lib.SQLITE_FULL, lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return true
	}
	return false
}

// unavailable says that nothing was committed, and keeps the cause for logs.
func unavailable(cause error) error {
	return fmt.Errorf("%w: %w", riposte.ErrUnavailable, cause)
}

// reading names what a reader was doing and says that trying again may help
// where it may.
func reading(what string, err error) error {
	if dooms(err) {
		err = unavailable(err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
