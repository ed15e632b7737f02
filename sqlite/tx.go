package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

// tx is the writer's open transaction as its ops see it.
type tx struct {
	*statements
	lane.Work
	sequence *int64   // the last outcome's
	writes   int      // statements that may have changed something
	touched  []string // webhooks that ops may have changed
	now      func() time.Time
	purged   []riposte.State // those of the instances that were removed
	targets  *[]string       // see audited
	revoked  bool            // a key or client may have been deleted
}

// mark is a point in a transaction to which it can be rolled back.
type mark struct {
	writes int
	lane.Mark
}

func (t *tx) here() mark { return mark{t.writes, t.Mark()} }

// errTainted says that an op failed after it had written something.
var errTainted = errors.New("an op failed half way")

// bare runs an op as it is. That does for almost every op, because those that
// fail mostly do so before they write.
func (t *tx) bare(run func(*tx) error) (opErr, txErr error) {
	m := t.here()
	if opErr = run(t); opErr == nil {
		return nil, nil
	}
	if t.writes > m.writes {
		return opErr, errTainted
	}
	t.forget(m)
	return opErr, nil
}

// isolated runs an op in a savepoint, so that its failure is its own. SQLite
// copies each page that is changed within one.
func (t *tx) isolated(run func(*tx) error) (opErr, txErr error) {
	if err := t.control(t.savepoint); err != nil {
		return nil, err
	}
	m := t.here()
	if opErr = run(t); opErr != nil {
		t.forget(m)
		txErr = t.control(t.rollbackToSavepoint)
	}
	return opErr, cmp.Or(txErr, t.control(t.releaseSavepoint))
}

// forget takes back what is kept in memory; SQLite does the rest.
func (t *tx) forget(m mark) {
	t.Forget(m.Mark)
	t.writes = m.writes
}

// control begins or ends a transaction or a savepoint.
func (t *tx) control(s *sql.Stmt) error {
	_, err := s.ExecContext(context.Background())
	return err
}

// exec runs a statement. What has begun is not interrupted, hence no context.
func (t *tx) exec(s *sql.Stmt, args ...any) (sql.Result, error) {
	t.writes++
	return s.ExecContext(context.Background(), args...)
}

// affects is exec for a statement that may find nothing to change.
func (t *tx) affects(s *sql.Stmt, args ...any) (bool, error) {
	r, err := t.exec(s, args...)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	if n == 0 {
		t.writes--
	}
	return n > 0, err
}

// numbers runs a query that returns one column of row numbers.
func (t *tx) numbers(s *sql.Stmt, args ...any) ([]int64, error) {
	rows, err := s.QueryContext(context.Background(), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var numbers []int64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, rows.Err()
}

// statements are the writer's, prepared once on its connection.
type statements struct {
	begin, commit, rollback                          *sql.Stmt
	savepoint, releaseSavepoint, rollbackToSavepoint *sql.Stmt

	check                                        *sql.Stmt
	insertWebhook, updateWebhook                 *sql.Stmt
	insertInstance, insertEnvelope, insertLabel  *sql.Stmt
	requestedBefore, keepOpen, closeInstance     *sql.Stmt
	handOver, insertPushLane                     *sql.Stmt
	instanceExists, insertAttempt, insertOutcome *sql.Stmt
	dueInLane, laneDue, expired, firstExpiry     *sql.Stmt
	inFlight, pushesDue, pushLaneDue             *sql.Stmt
	loadNumbered, loadEnvelopes                  *sql.Stmt
	purgeable, purgeLabels, purge, purgeWebhooks *sql.Stmt
	notePurged, purgeOutcomes                    *sql.Stmt
	insertAudit, forgetAudit                     *sql.Stmt
	insertSecret, updateSecret                   *sql.Stmt
	insertKey, deleteKey, lastAdmin              *sql.Stmt
	insertClient, deleteClient                   *sql.Stmt
	useAssertion, forgetAssertions               *sql.Stmt
	keyUsed, clientUsed                          *sql.Stmt
	saveStatistics, forgetStatistics             *sql.Stmt
	saveLastAttempt, purgeStatistics             *sql.Stmt
	insertConsumer, updateConsumer               *sql.Stmt
	consumerExists, deleteConsumer               *sql.Stmt

	all []*sql.Stmt
}

// close must come before the connection's, which would stay open for them.
func (s *statements) close() error {
	var errs []error
	for _, each := range s.all {
		errs = append(errs, each.Close())
	}
	return errors.Join(errs...)
}

func prepareStatements(ctx context.Context, conn *sql.Conn) (statements, error) {
	var s statements
	for _, each := range []struct {
		stmt **sql.Stmt
		sql  string
	}{
		{&s.begin, "BEGIN IMMEDIATE"},
		{&s.commit, "COMMIT"},
		{&s.rollback, "ROLLBACK"},
		{&s.savepoint, "SAVEPOINT op"},
		{&s.releaseSavepoint, "RELEASE op"},
		{&s.rollbackToSavepoint, "ROLLBACK TO op"},
		{&s.check, checkSQL},
		{&s.insertWebhook, insertWebhookSQL},
		{&s.updateWebhook, updateWebhookSQL},
		{&s.insertInstance, insertInstanceSQL},
		{&s.insertEnvelope, insertEnvelopeSQL},
		{&s.insertLabel, insertLabelSQL},
		{&s.requestedBefore, requestedBeforeSQL},
		{&s.keepOpen, keepOpenSQL},
		{&s.closeInstance, closeInstanceSQL},
		{&s.handOver, handOverSQL},
		{&s.insertPushLane, insertPushLaneSQL},
		{&s.instanceExists, instanceExistsSQL},
		{&s.insertAttempt, insertAttemptSQL},
		{&s.insertOutcome, insertOutcomeSQL},
		{&s.dueInLane, dueInLaneSQL},
		{&s.laneDue, laneDueSQL},
		{&s.pushesDue, pushesDueSQL},
		{&s.pushLaneDue, pushLaneDueSQL},
		{&s.expired, expiredSQL},
		{&s.firstExpiry, firstExpirySQL},
		{&s.inFlight, inFlightSQL},
		{&s.loadNumbered, loadNumberedSQL},
		{&s.loadEnvelopes, loadEnvelopesSQL},
		{&s.purgeable, purgeableSQL},
		{&s.purgeLabels, purgeLabelsSQL},
		{&s.notePurged, notePurgedSQL},
		{&s.purgeOutcomes, purgeOutcomesSQL},
		{&s.purge, purgeSQL},
		{&s.purgeWebhooks, purgeWebhooksSQL},
		{&s.insertAudit, insertAuditSQL},
		{&s.forgetAudit, forgetAuditSQL},
		{&s.insertSecret, insertSecretSQL},
		{&s.updateSecret, updateSecretSQL},
		{&s.insertKey, insertKeySQL},
		{&s.deleteKey, deleteKeySQL},
		{&s.lastAdmin, lastAdminSQL},
		{&s.insertClient, insertClientSQL},
		{&s.deleteClient, deleteClientSQL},
		{&s.useAssertion, useAssertionSQL},
		{&s.forgetAssertions, forgetAssertionsSQL},
		{&s.keyUsed, keyUsedSQL},
		{&s.clientUsed, clientUsedSQL},
		{&s.saveStatistics, saveStatisticsSQL},
		{&s.forgetStatistics, forgetStatisticsSQL},
		{&s.saveLastAttempt, saveLastAttemptSQL},
		{&s.purgeStatistics, purgeStatisticsSQL},
		{&s.insertConsumer, insertConsumerSQL},
		{&s.updateConsumer, updateConsumerSQL},
		{&s.consumerExists, consumerExistsSQL},
		{&s.deleteConsumer, deleteConsumerSQL},
	} {
		var err error
		if *each.stmt, err = conn.PrepareContext(context.WithoutCancel(ctx), each.sql); err != nil {
			return s, fmt.Errorf("preparing %q: %w", each.sql, err)
		}
		s.all = append(s.all, *each.stmt)
	}
	return s, nil
}

// queries are the readers' frequent ones; sql.DB prepares them on each
// connection that needs them.
type queries struct {
	loadInstance, loadEnvelope, loadAttempts, loadKey, loadSecret *sql.Stmt
	loadOutcomes, purged, lastSequence, loadConsumer, loadClient  *sql.Stmt
}

func prepareQueries(ctx context.Context, db *sql.DB) (queries, error) {
	var q queries
	for _, each := range []struct {
		stmt **sql.Stmt
		sql  string
	}{
		{&q.loadInstance, loadInstanceSQL},
		{&q.loadEnvelope, loadEnvelopeSQL},
		{&q.loadAttempts, loadAttemptsSQL},
		{&q.loadKey, loadKeySQL},
		{&q.loadClient, loadClientSQL},
		{&q.loadSecret, loadSecretSQL},
		{&q.loadOutcomes, loadOutcomesSQL},
		{&q.purged, purgedSQL},
		{&q.lastSequence, lastSequenceSQL},
		{&q.loadConsumer, loadConsumerSQL},
	} {
		var err error
		if *each.stmt, err = db.PrepareContext(ctx, each.sql); err != nil {
			return q, fmt.Errorf("preparing %q: %w", each.sql, err)
		}
	}
	return q, nil
}
