package outbound

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/riposte-dev/riposte"
)

// maxDrain bounds what is read of a body beyond what is used, in bytes, so that
// its connection can be used again. A larger rest is not worth it.
const maxDrain = 64 << 10

// read takes what is needed from a response. With an error the result has what
// came before it, and never a document: a body that broke off is no answer.
func read(resp *http.Response, now time.Time) (riposte.Result, error) {
	if resp.ProtoMajor != 1 || resp.StatusCode < 100 { // net/http lets both pass
		return riposte.Result{}, errNotHTTP
	}
	r := riposte.Result{Attempt: riposte.Attempt{
		StatusCode:      resp.StatusCode,
		ResponseHeaders: keptHeaders(resp.Header),
	}}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		r.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return r, nil // what follows is no body and has no end
	}
	answers := resp.StatusCode >= 200 && resp.StatusCode <= 299 && resp.StatusCode != http.StatusAccepted
	limit := riposte.MaxKeptResponseBody
	if answers {
		limit = riposte.MaxDocumentSize
	}
	body, cut, err := readBody(resp, limit)
	kept := min(len(body), riposte.MaxKeptResponseBody)
	r.Attempt.ResponseBody = body[:kept:kept]
	r.Attempt.BodyCut = cut || kept < len(body) || err != nil
	if answers && err == nil {
		r.Document, r.Cut = body, cut
	}
	return r, err
}

// readBody reads at most limit bytes and says whether there are more.
func readBody(resp *http.Response, limit int) (body []byte, cut bool, err error) {
	body, err = io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if len(body) <= limit || err != nil {
		return body, false, bodyError(err)
	}
	if rest := resp.ContentLength - int64(len(body)); rest >= 0 && rest <= maxDrain {
		io.Copy(io.Discard, resp.Body) // an error costs the connection and nothing else
	}
	return body[:limit], true, nil
}

// errNotHTTP is a response line of another version than 1, or with a status like 007.
var errNotHTTP = errors.New("the response line is not one of HTTP/1.1")

// errCutOff is a body that ended before its length or its last chunk.
var errCutOff = errors.New("the body ended too early")

func bodyError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errCutOff
	}
	return err
}

// allowedHeaders are the response headers that are kept: what helps to find a
// fault together with the receiver's people, and never what could open a door,
// such as Set-Cookie.
var allowedHeaders = []string{
	"Allow", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Location",
	"Request-Id", "Retry-After", "Server", "Traceparent", "Www-Authenticate", "X-Request-Id",
}

// Bounds of a kept header.
const (
	maxHeaderValues = 4
	maxHeaderLength = 1024 // bytes of a value
)

func keptHeaders(all http.Header) http.Header {
	kept := http.Header{}
	for _, name := range allowedHeaders {
		for n, value := range all[name] {
			if n < maxHeaderValues {
				kept.Add(name, headerText(value))
			}
		}
	}
	return kept
}

// headerText makes a receiver's header fit for stores and screens, which take
// valid UTF-8 without control characters. strings.Map sees to the UTF-8.
func headerText(value string) string {
	if len(value) > maxHeaderLength {
		value = value[:maxHeaderLength] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, value)
}

// maxRetryAfter bounds what a receiver may ask for, so that nothing overflows.
// The retry policy's own bound is far lower.
const maxRetryAfter = riposte.MaxCallbackTimeout

// retryAfter reads a Retry-After header (RFC 9110, section 10.2.3): seconds or
// a date, which counts from now. What is in the past or makes no sense is 0.
func retryAfter(value string, now time.Time) time.Duration {
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if errors.Is(err, strconv.ErrRange) || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxRetryAfter)
}
