package receiver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// What CallBack's tries are bounded by: about a minute in all, which a server
// that restarts needs.
const (
	callBackTries        = 10
	callBackTimeout      = 15 * time.Second // of one try
	callBackFirstDelay   = 250 * time.Millisecond
	callBackLongestDelay = 15 * time.Second
	maxCallBackReply     = 64 << 10 // bytes
)

// Reasons that a CallBackError may have, for programs (PROTOCOL.md section 5).
const (
	ReasonAlreadyUsed     = "CALLBACK_ALREADY_USED" // another answer counted
	ReasonExpired         = "CALLBACK_EXPIRED"
	ReasonClosed          = "INSTANCE_CLOSED" // canceled, for one
	ReasonInvalidCallback = "INVALID_CALLBACK"
	ReasonBadDocument     = "BAD_DOCUMENT" // the callback URL is not used up
)

// CallBackError is what the server has against a callback.
type CallBackError struct {
	Status  int    // HTTP status
	Reason  string // one of the above, or one that is newer; "" when it wasn't the server that answered
	Message string
}

func (e *CallBackError) Error() string {
	text := e.Message
	if text == "" {
		text = http.StatusText(e.Status)
	}
	return fmt.Sprintf("the callback was refused (%d %s): %s", e.Status, e.Reason, text)
}

var callBackClient = &http.Client{
	Timeout:       callBackTimeout,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// CallBack posts an answer to a delivery's callback URL. It tries up to ten
// times within a minute or so where the server can't be reached or can't take
// anything now; whoever must get through over a longer outage calls it again.
// It returns nil when the document counted, also by a try before whose reply
// got lost. A *CallBackError is final: calling again with the same document
// doesn't help.
func CallBack(ctx context.Context, callbackURL string, d Document) error {
	document, err := d.JSON()
	if err != nil {
		return err
	}
	u, err := parseURL("the callback URL", callbackURL)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		again, after, err := callBackOnce(ctx, u.String(), document)
		if err == nil || !again {
			return err
		}
		if ctx.Err() != nil || try == callBackTries-1 {
			return fmt.Errorf("calling back, %d times: %w", try+1, err)
		}
		delay := after + rand.N(min(callBackFirstDelay<<try, callBackLongestDelay)) // #nosec G404 -- delays need not be unguessable
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return fmt.Errorf("calling back, %d times: %w", try+1, err)
		}
	}
}

// callBackOnce says whether it is worth trying again, and after how long at
// the least.
func callBackOnce(ctx context.Context, url string, document []byte) (again bool, after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(document))
	if err != nil {
		return false, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := callBackClient.Do(req)
	if err != nil {
		return ctx.Err() == nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return false, 0, nil // whatever becomes of its body
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxCallBackReply))
	refused, repeated := readRefusal(resp.StatusCode, body)
	switch {
	case repeated:
		return false, 0, nil
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return true, min(max(0, time.Duration(seconds)*time.Second), callBackLongestDelay), refused
	}
	return false, 0, refused
}

// readRefusal reads a google.rpc.Status. repeated says that this very document
// counted already.
func readRefusal(status int, body []byte) (refused *CallBackError, repeated bool) {
	var said struct {
		Message string `json:"message"`
		Details []struct {
			Reason   string            `json:"reason"`
			Metadata map[string]string `json:"metadata"`
		} `json:"details"`
	}
	refused = &CallBackError{Status: status}
	if json.Unmarshal(body, &said) != nil {
		return refused, false
	}
	refused.Message = said.Message
	for _, d := range said.Details {
		if d.Reason != "" {
			refused.Reason = d.Reason
			repeated = status == http.StatusBadRequest && d.Reason == ReasonAlreadyUsed && d.Metadata["sameDocument"] == "true"
		}
	}
	return refused, repeated
}
