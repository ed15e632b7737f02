package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/riposte-dev/riposte/client"
)

// scene is a request of the story, and how it must come out.
type scene struct {
	who, wants string
	outcomes   []client.Kind // of its questions, in their order
	result     Result
	effects    effects
}

// effects are what the systems did about a request.
type effects struct{ Decisions, Accounts, Notices int }

var scenes = []scene{
	{"ada", "db-admin", []client.Kind{client.Approved, client.Completed, client.Delivered}, Granted, effects{1, 1, 1}},
	{"mallory", "root", []client.Kind{client.Denied, client.Delivered}, Denied, effects{1, 0, 1}},
	{"bob", "payroll", []client.Kind{client.Reassigned, client.Approved, client.Completed, client.Delivered}, Granted, effects{2, 1, 1}},
	{"carol", "prod-db", []client.Kind{client.PolicyReplaced, client.Approved, client.Approved, client.Completed, client.Delivered}, Granted, effects{3, 1, 1}},
	{"dave", "mainframe", []client.Kind{client.Approved, client.Errored, client.Delivered}, NotProvisioned, effects{1, 0, 1}},
	{"eve", "legacy-crm", []client.Kind{client.Failed, client.Delivered}, Broken, effects{1, 0, 1}},
	{"frank", "billing", []client.Kind{client.Approved, client.Completed, client.Delivered}, Granted, effects{1, 1, 1}},
}

// story asks for what the scenes want, as far as the store doesn't have it from a run
// that was cut off, runs all of it to its end, and reviews it.
func story(ctx context.Context, s *Store, out io.Writer) error {
	all, err := s.requests(ctx, 0)
	if err != nil {
		return fmt.Errorf("reading the requests: %w", err)
	}
	for _, sc := range scenes {
		if slices.ContainsFunc(all, sc.isOf) {
			continue
		}
		if _, err := s.add(ctx, newRequest(sc.who, sc.wants)); err != nil {
			return err
		}
	}
	if err := run(ctx, s, out, true, fmt.Sprintf("%d people ask for access:\n\n", len(scenes))); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New("stopped before the end")
	}
	fmt.Fprintf(out, "\nThe audit trail:\n")
	if err := s.printAudit(ctx, out, 0); err != nil {
		return err
	}
	wrong, err := s.review(ctx)
	if err != nil {
		return fmt.Errorf("reviewing the story: %w", err)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("not all came out as it should:\n%s", strings.Join(wrong, "\n"))
	}
	fmt.Fprintf(out, "\nAll %d came out as they should, and everything was done once.\n", len(scenes))
	return nil
}

func (sc scene) isOf(r Request) bool { return r.Who == sc.who && r.Wants == sc.wants }

// review tells where a request that a scene is of came out otherwise.
func (s *Store) review(ctx context.Context) (wrong []string, err error) {
	all, err := s.requests(ctx, 0)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		n := slices.IndexFunc(scenes, func(sc scene) bool { return sc.isOf(r) })
		if n < 0 {
			continue
		}
		outcomes, err := s.outcomes(ctx, r)
		if err != nil {
			return nil, err
		}
		did, err := s.effects(ctx, r)
		if err != nil {
			return nil, err
		}
		if sc := scenes[n]; !r.closed() || r.Result != sc.result || !slices.Equal(outcomes, sc.outcomes) || did != sc.effects {
			wrong = append(wrong, fmt.Sprintf("%s (%s wants %s) came to %q by %v with %+v, not to %q by %v with %+v",
				r.ticket(), r.Who, r.Wants, r.Result, outcomes, did, sc.result, sc.outcomes, sc.effects))
		}
	}
	return wrong, nil
}

// outcomes are those of a request's questions, "" for an open one.
func (s *Store) outcomes(ctx context.Context, r Request) ([]client.Kind, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT coalesce(outcome, '') FROM question WHERE request_id = ? ORDER BY number`, r.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []client.Kind
	for rows.Next() {
		var k client.Kind
		if err := rows.Scan(&k); err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, rows.Err()
}

func (s *Store) effects(ctx context.Context, r Request) (did effects, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM decision WHERE ticket = ?1),
		(SELECT count(*) FROM account WHERE ticket = ?1), (SELECT count(*) FROM notice WHERE ticket = ?1)`, r.ticket()).
		Scan(&did.Decisions, &did.Accounts, &did.Notices)
	return did, err
}

// errIfAllClosed is errAllClosed when no request is open.
func (s *Store) errIfAllClosed(ctx context.Context) error {
	all, err := s.requests(ctx, 0)
	if err != nil {
		return fmt.Errorf("reading the requests: %w", err)
	}
	if slices.ContainsFunc(all, func(r Request) bool { return !r.closed() }) {
		return nil
	}
	return errAllClosed
}
