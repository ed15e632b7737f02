// Command goclient does with webhooks what the API offers, as ConductorOne's Go SDK
// would: it finds the server by the client id alone.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, way string) error {
	id, secret := os.Getenv("CLIENT_ID"), os.Getenv("CLIENT_SECRET")
	_, rest, _ := strings.Cut(id, "@")
	host, _, ok := strings.Cut(rest, "/")
	if !ok {
		return errors.New("the client id has no host")
	}
	base := "https://" + host
	config := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: base + "/auth/v1/token"}
	var tokens oauth2.TokenSource
	switch way {
	case "assertion":
		tokens = oauth2.ReuseTokenSource(nil, asserting{id, secret, host})
	case "auto": // HTTP Basic first
		tokens = config.TokenSource(ctx)
	case "header":
		config.AuthStyle = oauth2.AuthStyleInHeader
		tokens = config.TokenSource(ctx)
	case "form":
		config.AuthStyle = oauth2.AuthStyleInParams
		tokens = config.TokenSource(ctx)
	default:
		return fmt.Errorf("there is no way %q", way)
	}
	return exercise(caller{oauth2.NewClient(ctx, tokens), base}, os.Getenv("RECEIVER"))
}

// exercise makes each of the calls that C1's SDKs have for webhooks.
func exercise(c caller, receiver string) error {
	var made, got, changed struct{ Webhook webhook }
	if err := c.call("POST", "/api/v1/webhooks", map[string]any{"displayName": "Approvals", "url": receiver + "/ok"}, &made); err != nil {
		return err
	}
	if err := made.Webhook.check("Approvals"); err != nil {
		return err
	}
	path := "/api/v1/webhooks/" + url.PathEscape(made.Webhook.ID)
	if err := c.call("GET", path, nil, &got); err != nil || got != made {
		return fmt.Errorf("getting gives %+v, %v", got, err)
	}
	var list struct {
		List          []webhook
		NextPageToken *string
	}
	if err := c.call("GET", "/api/v1/webhooks?page_size=10", nil, &list); err != nil || len(list.List) != 1 || list.NextPageToken == nil || *list.NextPageToken != "" {
		return fmt.Errorf("listing gives %+v, %v", list, err)
	}
	list.List = nil
	if err := c.call("POST", "/api/v1/search/webhooks", map[string]any{"query": "approv", "pageSize": 10}, &list); err != nil || len(list.List) != 1 {
		return fmt.Errorf("searching gives %+v, %v", list, err)
	}
	update := map[string]any{"webhook": map[string]any{"displayName": "Renamed"}, "updateMask": "displayName"}
	if err := c.call("POST", path, update, &changed); err != nil {
		return err
	}
	if err := changed.Webhook.check("Renamed"); err != nil {
		return err
	}
	var test struct {
		Webhook struct{ ID, WebhookID, State string }
	}
	if err := c.call("POST", path+"/test", map[string]any{}, &test); err != nil || test.Webhook.WebhookID != made.Webhook.ID || !strings.HasPrefix(test.Webhook.State, "WEBHOOK_STATE_") {
		return fmt.Errorf("testing gives %+v, %v", test, err)
	}
	if err := c.call("DELETE", path, map[string]any{}, &struct{}{}); err != nil {
		return err
	}
	if err := c.call("GET", path, nil, &got); !errors.Is(err, errNotFound) {
		return fmt.Errorf("getting what is deleted: %v", err)
	}
	return nil
}

// webhook is what C1's SDKs need of one.
type webhook struct {
	ID, DisplayName, URL, CallbackTimeout, CreatedAt, UpdatedAt string
}

func (w webhook) check(displayName string) error {
	if w.ID == "" || w.DisplayName != displayName || w.URL == "" || w.CallbackTimeout != "691200s" || w.CreatedAt == "" || w.UpdatedAt == "" {
		return fmt.Errorf("the webhook is %+v", w)
	}
	return nil
}

var errNotFound = errors.New("HTTP status 404")

type caller struct {
	http *http.Client
	base string
}

// call takes no success but HTTP status 200 with JSON, as C1's SDKs.
func (c caller) call(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode == http.StatusNotFound:
		return errNotFound
	case res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json":
		return fmt.Errorf("%s %s: HTTP %d, %s: %s", method, path, res.StatusCode, res.Header.Get("Content-Type"), b)
	}
	return json.Unmarshal(b, out)
}
