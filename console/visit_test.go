package console_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/server"
)

// TestWhatIsNotUTF8IsRefused, wherever it comes from: no message of the API can hold it.
func TestWhatIsNotUTF8IsRefused(t *testing.T) {
	var log bytes.Buffer
	r := newReader(t, func(c *server.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
	}).as(ripostev1.Role_ROLE_ADMIN)
	for _, path := range []string{"/webhooks/%ff", "/instances/%ff/delivery", "/webhooks?query=%ff", "/instances?ticket=%ff", "/instances?labels=a%3D%ff",
		"/instances?page=%ff", "/instances?%ff=1", "/instances/bulk?action=cancel&webhook=%ff", "/keys/%ff"} {
		r.get(path).wants(t, http.StatusBadRequest, "not UTF-8", "Nothing was changed.", "Sign out")
	}
	for _, path := range []string{"/instances?ticket=%zz&state=PENDING", "/instances/bulk?action=cancel&state=PENDING&ticket=a;b"} {
		r.get(path).wants(t, http.StatusBadRequest, "not encoded as browsers do it")
	}
	for path, form := range map[string]url.Values{
		"/webhooks": webhookForm("displayName", "\xff"), "/webhooks/w": webhookForm("description", "\xff"), "/webhooks/%ff/test": {},
		"/keys": {"name": {"\xff"}, "role": {"viewer"}}, "/keys/%ff/revoke": {}, "/instances/i/cancel?x=%ff": {}, "/instances/i/answer": {"document": {"\"\xff\""}},
		"/instances/bulk": {"action": {"cancel"}, "ticket": {"\xff"}}, "/verify/document": {"document": {"\xff"}}, "/verify/delivery": {"delivery": {"Host: a\n\n\xff"}},
	} {
		r.post(path, form).wants(t, http.StatusBadRequest, "not UTF-8", "Nothing was changed.")
	}
	r.get("/instances?ticket=Z%C3%BCrich%E2%80%AE").wants(t, http.StatusOK)
	if log.Len() > 0 {
		t.Errorf("it is logged as a fault:\n%s", log.String())
	}
}

func TestATooLargeFormIsRefusedForThat(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	p := r.post("/webhooks", webhookForm("description", strings.Repeat("x", 4<<20)))
	p.wants(t, http.StatusRequestEntityTooLarge, "at most 4 MiB", "Nothing was changed.")
	p.lacks(t, "must be set")
	r.post("/webhooks", webhookForm("description", strings.Repeat("x", 3<<20))).wants(t, http.StatusRequestEntityTooLarge, "is larger than", "Nothing was changed.")
	r.post("/webhooks", webhookForm("description", strings.Repeat("x", 1<<20))).wants(t, http.StatusUnprocessableEntity, "Description must have at most")
}

// TestWhatTheAPIDidNotTakeIsSaid has a console whose API fails by a code.
func TestWhatTheAPIDidNotTakeIsSaid(t *testing.T) {
	r := newReader(t)
	target, err := url.Parse(r.base)
	if err != nil {
		t.Fatal(err)
	}
	var code atomic.Uint32
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = r.http.Transport
	errors := connect.NewErrorWriter()
	r.base = r.frontOf(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		if code.Load() == 0 {
			proxy.ServeHTTP(w, in)
			return
		}
		_ = errors.Write(w, in, connect.NewError(connect.Code(code.Load()), nil))
	}))
	r.as(ripostev1.Role_ROLE_ADMIN)
	const unknown, nothing = "It may have been done or not: look before you try again.", "Nothing was changed; try again in a moment."
	for _, tt := range []struct {
		code               connect.Code
		posted, got, lacks string
	}{
		{connect.CodeDeadlineExceeded, unknown, "Try again in a moment.", "Nothing was changed"},
		{connect.CodeUnavailable, nothing, nothing, "may have been done"},
	} {
		code.Store(uint32(tt.code))
		p := r.post("/webhooks/w/test", nil)
		p.wants(t, http.StatusServiceUnavailable, tt.posted)
		p.lacks(t, tt.lacks)
		p = r.get("/webhooks")
		p.wants(t, http.StatusServiceUnavailable, tt.got)
		p.lacks(t, tt.lacks, unknown)
	}
}
