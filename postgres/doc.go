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
// # Writing
//
// One goroutine per node writes (writer.go). What queued up while it was busy
// with one commit goes into the next, in few statements: creations and saves are
// written by unnest, many rows each. Nobody is answered before the commit. Where
// the answer to a COMMIT is lost, the server is asked what became of the
// transaction.
//
// # Claiming
//
// As in package sqlite, by package lane. A row that another node has locked is
// skipped.
package postgres
