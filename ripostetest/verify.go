package ripostetest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/go-jose/go-jose/v4"

	"github.com/riposte-dev/riposte/receiver"
)

// FetchKeys gets a server's key set; base is its public URL.
func FetchKeys(base string) (jose.JSONWebKeySet, error) { return FetchKeysBy(http.DefaultClient, base) }

// FetchKeysBy is FetchKeys by a client that trusts the server, if not everybody does.
func FetchKeysBy(c *http.Client, base string) (jose.JSONWebKeySet, error) {
	var keys jose.JSONWebKeySet
	resp, err := c.Get(base + "/auth/v1/jwks")
	if err != nil {
		return keys, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return keys, err
	}
	return keys, json.Unmarshal(b, &keys)
}

// Verify makes the check that a receiver at receiverURL makes of a delivery, as
// package receiver has it, of one that was logged.
func Verify(d Delivery, keys jose.JSONWebKeySet, receiverURL string) (receiver.Claims, error) {
	v, err := receiver.NewVerifier("", receiverURL, receiver.WithKeys(keys), receiver.WithLeeway(0), receiver.AllowReplays())
	if err != nil {
		return receiver.Claims{}, err
	}
	checked, checks := v.Check(context.Background(), receiver.Request{Method: d.Method, Path: d.Target, Header: d.Header, Body: d.Body, At: d.At})
	return checked.Claims, receiver.Verdict(checks)
}
