package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/riposte-dev/riposte/receiver"
)

const (
	busyAttempts = 2
	thinkingTime = 500 * time.Millisecond
	owedPause    = 100 * time.Millisecond
)

// approve decides by what is wanted, where people would look at it. Who is asked is
// the first of those who may decide.
func (s *systems) approve(tx *sql.Tx, d receiver.Delivery, about subject) (reply, error) {
	if len(about.Users) == 0 {
		return reply{}, errors.New("nobody is asked")
	}
	grace := slices.Contains(about.Users, "grace")
	switch {
	case about.Wants == "root":
		return decide(tx, about, "deny", receiver.Deny("nobody gets root"))
	case about.Wants == "payroll" && grace:
		return decide(tx, about, "reassign", receiver.Reassign("not mine to decide", "heidi"))
	case about.Wants == "prod-db" && grace:
		return decide(tx, about, "replacePolicy", receiver.ReplacePolicy("two of us must agree",
			approvalBy("ivan"), approvalBy("judy"), provision))
	case about.Wants == "legacy-crm":
		// A bug of this system: there must be one decision.
		return decide(tx, about, "approve and deny at once", receiver.Raw([]byte(`{"version":"v1","approve":{},"deny":{}}`)))
	case about.Wants == "billing" && d.Attempt <= busyAttempts:
		s.say(about.Ticket, "  approver: too busy, HTTP 500")
		return reply{}, errBusy
	case about.Wants == "billing":
		return decideLater(tx, d, about)
	}
	return decide(tx, about, "approve", receiver.Approve("fine by me"))
}

func decide(tx *sql.Tx, about subject, verdict string, document receiver.Document) (reply, error) {
	if _, err := tx.Exec(`INSERT INTO decision (ticket, approver, verdict) VALUES (?, ?, ?)`, about.Ticket, about.Users[0], verdict); err != nil {
		return reply{}, err
	}
	return answerWith(document, fmt.Sprintf("approver: %s says %s", about.Users[0], verdict))
}

// decideLater owes Riposte the answer: it is kept before the 202 says so.
func decideLater(tx *sql.Tx, d receiver.Delivery, about subject) (reply, error) {
	answer, err := decide(tx, about, "approve", receiver.Approve("I had to look it up"))
	if err != nil {
		return reply{}, err
	}
	_, err = tx.Exec(`INSERT INTO owed VALUES (?, ?, ?, ?)`, d.InstanceID, d.CallbackURL, string(answer.document), time.Now().Add(thinkingTime).UnixMilli())
	return reply{status: http.StatusAccepted, said: "approver: will call back, HTTP 202"}, err
}

// callBack posts the answers that are owed, until ctx ends.
func (s *systems) callBack(ctx context.Context) error {
	for {
		var instanceID, url string
		var document []byte
		err := s.store.db.QueryRowContext(ctx, `SELECT instance_id, callback_url, document FROM owed WHERE due <= ? LIMIT 1`,
			time.Now().UnixMilli()).Scan(&instanceID, &url, &document)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			select {
			case <-time.After(owedPause):
			case <-ctx.Done():
			}
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("reading what is owed: %w", err)
		case err == nil:
			if err := s.callBackOne(ctx, instanceID, url, document); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// callBackOne may be repeated: Riposte knows the same document again.
func (s *systems) callBackOne(ctx context.Context, instanceID, url string, document []byte) error {
	halt("approver: before the callback")
	err := receiver.CallBack(ctx, url, receiver.Raw(document))
	if refused, ok := errors.AsType[*receiver.CallBackError](err); ok {
		s.say("", "  Riposte refuses the callback of instance %s: %v", instanceID, refused)
	} else if err != nil {
		return nil // again later
	}
	halt("approver: called back, not noted")
	if _, err := s.store.db.ExecContext(ctx, `DELETE FROM owed WHERE instance_id = ?`, instanceID); err != nil {
		return fmt.Errorf("noting the callback: %w", err)
	}
	return nil
}
