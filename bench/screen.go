package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// screen is a page to look at.
type screen struct {
	name, path string
	finds      bool // whether a list shows instances where there are mixed ones
	noList     bool // one that isn't compared to an empty store's
}

// farBack is the page of the whole list that somebody looks at who goes far back.
const farBack = 40

// screens are those of a store of mixed instances, which have been made for so long,
// or of one that has its webhooks alone.
func (r *reader) screens(ctx context.Context, made time.Duration) ([]screen, error) {
	webhooks, err := r.webhookIDs(ctx)
	if err != nil {
		return nil, err
	}
	all := lists(webhooks, time.Now(), made)
	path := "/instances"
	newest, err := r.look(ctx, path, "")
	if err != nil {
		return nil, err
	}
	if one := newest.first(); one != "" {
		all = append(all, screen{name: "an instance", path: one, noList: true})
	}
	for n := 2; n <= farBack; n++ {
		at, err := r.look(ctx, path, "")
		if err != nil {
			return nil, err
		}
		if next := at.next(); next != "" { // else the last page, in a store of few
			path = next
		}
		if n == 2 || n == farBack {
			all = append(all, screen{name: fmt.Sprint("page ", n), path: path, finds: true})
		}
	}
	return append(all, screen{name: "webhooks", path: "/webhooks"}, screen{name: "webhooks, a query", path: "/webhooks?query=access"},
		screen{name: "overview", path: "/", noList: true}), nil
}

func (r *reader) webhookIDs(ctx context.Context) (map[string]string, error) {
	b, err := r.node.get(ctx, "/api/v1/webhooks?pageSize=100")
	if err != nil {
		return nil, err
	}
	var listed struct {
		List []struct{ ID, DisplayName string }
	}
	if err := json.Unmarshal(b, &listed); err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, w := range listed.List {
		ids[w.DisplayName] = w.ID
	}
	return ids, nil
}

// lists are the lists of instances, each by another filter.
func lists(webhooks map[string]string, now time.Time, made time.Duration) (all []screen) {
	add := func(name string, finds bool, pairs ...string) {
		q := url.Values{}
		for n := 0; n < len(pairs); n += 2 {
			q.Set(pairs[n], pairs[n+1])
		}
		all = append(all, screen{name: name, path: "/instances?" + q.Encode(), finds: finds})
	}
	busy, other := webhooks[mixedWebhooks[busyWebhook]], webhooks[mixedWebhooks[1]]
	add("all", true)
	for _, state := range []string{"PENDING", "RUNNING", "ERROR", "WAITING_CALLBACK", "PROCESS_RESPONSE", "SUCCESS", "FATAL_ERROR"} {
		add("state "+state, state != "RUNNING" && state != "PROCESS_RESPONSE", "state", state)
	}
	add("the busy webhook", true, "webhook", busy)
	add("another webhook", true, "webhook", other)
	add("source approvalStep", true, "source", "approvalStep")
	add("source test", true, "source", "test")
	add("a common ticket", true, "ticket", commonTicket)
	add("a rare ticket", true, "ticket", rareTicket)
	add("a common label", true, "labels", commonLabel)
	add("a rare label", true, "labels", rareLabel)
	add("two labels", true, "labels", commonLabel+" team=red")
	add("since 1 h", true, "since", "1h")
	add("since 24 h", true, "since", "24h")
	to := now.Add(-made / 2)
	add("from, to", true, "from", to.Add(-made/10).UTC().Format(time.RFC3339), "to", to.UTC().Format(time.RFC3339))
	add("to, and a common label", true, "to", to.UTC().Format(time.RFC3339), "labels", commonLabel)
	add("webhook and SUCCESS", true, "webhook", busy, "state", "SUCCESS")
	add("webhook and WAITING_CALLBACK", true, "webhook", busy, "state", "WAITING_CALLBACK")
	add("webhook and FATAL_ERROR, none", false, "webhook", busy, "state", "FATAL_ERROR")
	add("webhook and source, none", false, "webhook", busy, "source", "test")
	add("webhook and source and label, none", false, "webhook", busy, "source", "test", "labels", commonLabel)
	add("source and WAITING_CALLBACK", true, "source", "approvalStep", "state", "WAITING_CALLBACK")
	add("label, webhook and WAITING_CALLBACK", true, "labels", commonLabel, "webhook", busy, "state", "WAITING_CALLBACK")
	add("ticket and source", true, "ticket", commonTicket, "source", "provisionStep")
	return all
}
