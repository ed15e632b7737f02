// Package sqlite is the store of a single node: riposte.Store on one SQLite
// file.
//
// # Writing
//
// One goroutine writes (writer.go). What queued up while it was busy with one
// commit goes into the next, so the price of an fsync is shared by all who wait:
//
//	caller ──op──▶ queue ──▶ BEGIN IMMEDIATE
//	caller ──op──▶           op
//	caller ──op──▶           op
//	                         COMMIT ── fsync
//	subscribers ◀────        changed instances, in the order of the commits
//	caller ◀─answer──        answers
//
// One op's failure is its own. Most fail before they have written anything. If
// one fails half way, the transaction is rolled back and the batch runs again
// with a savepoint around each op; savepoints from the start would cost each op
// a copy of every page that it changes. So ops must be able to run twice.
//
// Nobody is answered before the commit is on disk: WAL with synchronous=FULL,
// which Open reads back and insists on. A commit that finds the disk full is
// rolled back and answered with ErrUnavailable. After any other failure of a
// COMMIT nobody can know what is on disk (the kernel may have dropped the pages
// whose fsync failed), so the process ends and recovery decides; see
// Options.Fatal.
//
// Reads go to a pool of query-only connections and never wait for the writer.
// Checkpoints run beside both (checkpoint.go).
//
// # Claiming
//
// Each webhook has a lane (package lane): in memory, since when it has something
// due. A claim visits the lanes that are due and have room, oldest first, and
// reads as many rows as there is room for, so a webhook at its bound costs
// nothing, however long its backlog. What expires is found by an index of its
// own. What happens to a row is decided by Instance.Due in Go.
//
// # Counting
//
// How many instances are in each state is known in memory (count.go): the
// writer adds what each commit changed, and what was there at the start is
// counted in the background, in a snapshot from before the first write.
//
// # Listing
//
// A list walks one index, newest first (list.go). Where the rest of a filter takes
// the rows to tell, it first asks the index, which is quick, where its bound of
// rows ends, and looks no further: what is rare among millions is found page by
// page, and no page takes long.
//
// # Statistics
//
// What was counted in a span is a row per webhook and process, small and soon
// forgotten (statistics.go). The last attempt of each webhook is kept apart.
//
// # Audit log
//
// What is changed under a context with an entry of the audit log has it in its own op
// (audit.go): both are committed, or neither is. Triggers refuse to change the log.
//
// # One process
//
// A lock on the data directory keeps a second process out (lock.go). It also
// means that whatever is RUNNING when the store opens belongs to a process
// that is gone: Open makes it due.
package sqlite
