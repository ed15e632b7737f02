// Package postgres is the store of several nodes: riposte.Store on one
// PostgreSQL database.
//
// # Tables
//
// What never changes of an instance is inserted once (instances, attempts) and
// never written again. What changes is a narrow row in open, which is deleted
// when the instance closes; then its last state stands in outcomes, beside the
// outcome. So a wide row is never rewritten, and what claims look at is no
// larger than what is open.
//
// What belongs to closed instances is in partitions by day, which are dropped
// (day.go).
//
// # Writing
//
// One goroutine per node writes (writer.go). What queued up while it was busy
// with one commit goes into the next, in few statements: creations and saves are
// written by unnest, many rows each. Nobody is answered before the commit. Where
// the answer to a COMMIT is lost, a row that came with it tells (node.go).
//
// # Claiming
//
// As in package sqlite, by package lane. A row that another node has locked is
// skipped.
//
// # Listing
//
// As in package sqlite, by one index and within a bound of rows (list.go). Each row
// is looked up by its id, which says in which day.
//
// # Statistics
//
// Each process has rows of its own (statistics.go), which it saves beside the writer,
// so that nothing that counts holds up what is counted.
//
// # Audit log
//
// What is changed under a context with an entry of the audit log has it in its own
// transaction (audit.go), that of the batch or one beside the writer. Triggers refuse to
// change the log.
//
// # Other nodes
//
// A poll finds what they leave behind, a notification tells of their outcomes
// (watcher.go). docs/adr/0007-postgresql.md says why it is so.
package postgres
