package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	"github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1/webhooksv1connect"
)

// webhooksAt makes the application's webhooks: what an administrator does with
// riposte webhooks create elsewhere, and package client leaves to him.
type webhooksAt struct {
	url    string
	say    func(ticket, format string, args ...any)
	create webhooksv1connect.WebhooksServiceClient
	search webhooksv1connect.WebhooksSearchClient
}

func newWebhooksAt(url, key string, say func(ticket, format string, args ...any)) *webhooksAt {
	withKey := connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			r.Header().Set("Authorization", "Bearer "+key)
			return next(ctx, r)
		}
	}))
	h := &http.Client{Timeout: 10 * time.Second}
	return &webhooksAt{
		url:    url,
		say:    say,
		create: webhooksv1connect.NewWebhooksServiceClient(h, url, withKey),
		search: webhooksv1connect.NewWebhooksSearchClient(h, url, withKey),
	}
}

// errNoServer says that nobody answers, which ends by itself when there was a server
// before.
var errNoServer = errors.New("no server answers")

// of returns the webhooks of a store, by the system that each asks. The first time they
// are made, under a name that is found again after a crash before it is noted.
func (w *webhooksAt) of(ctx context.Context, s *Store, systems map[string]string) (map[string]string, error) {
	store, err := s.setting(ctx, "store")
	if err != nil {
		return nil, fmt.Errorf("reading the store's name: %w", err)
	}
	known := map[string]string{}
	away := false
	for system, url := range systems {
		if known[system], err = s.setting(ctx, "webhook "+system); err != nil {
			return nil, fmt.Errorf("reading the webhook's id: %w", err)
		}
		id, err := w.find(ctx, system, store)
		switch {
		case errors.Is(err, errNoServer) && known[system] != "":
			if !away {
				w.say("", "no server answers at %s: waiting for it", w.url)
			}
			away = true
			continue
		case err != nil:
			return nil, err
		case known[system] != "" && id != known[system]:
			return nil, fmt.Errorf("this store's webhooks aren't at %s: it was used with another server, or riposte dev was started anew; choose another --data", w.url)
		case id == "":
			res, err := w.create.Create(ctx, &webhooksv1.WebhooksServiceCreateRequest{DisplayName: system + " " + store, Url: url})
			if err != nil {
				return nil, w.explain(err)
			}
			id = res.GetWebhook().GetId()
			halt("webhook: made, not noted")
		}
		if known[system] = id; id != "" {
			if err := s.set(ctx, "webhook "+system, id); err != nil {
				return nil, fmt.Errorf("noting the webhook: %w", err)
			}
		}
	}
	return known, nil
}

func (w *webhooksAt) find(ctx context.Context, system, store string) (string, error) {
	res, err := w.search.Search(ctx, &webhooksv1.WebhooksSearchRequest{Query: system + " " + store})
	if err != nil {
		return "", w.explain(err)
	}
	for _, hook := range res.GetList() {
		return hook.GetId(), nil
	}
	return "", nil
}

// explain says what to do about an error that there may be at the first call.
func (w *webhooksAt) explain(err error) error {
	const copied = `and copy the line that it prints into this one:

    export RIPOSTE_SERVER=... RIPOSTE_API_KEY=...`
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return fmt.Errorf("%w at %s. Start one in another terminal:\n\n    go run ./cmd/riposte dev\n\n%s", errNoServer, w.url, copied)
	case connect.CodeUnauthenticated, connect.CodePermissionDenied:
		return fmt.Errorf("the server at %s doesn't take this API key. Start it in another terminal:\n\n    go run ./cmd/riposte dev\n\n%s", w.url, copied)
	case connect.CodeInvalidArgument:
		if strings.Contains(err.Error(), "url") {
			return fmt.Errorf("the server at %s doesn't deliver to this machine: run it with --allow-destinations loopback, as riposte dev does (%w)", w.url, err)
		}
	}
	return fmt.Errorf("calling the server at %s: %w", w.url, err)
}
