package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/vault"
)

// TestNoSecretShows gives a server secrets of every kind, calls all that it has, rightly
// and wrongly, and then looks for them in all that anybody can read: its log, which is at
// its loudest and ends with the dump of a crash, every answer, page and figure, what the
// commands print, and the bytes of its store. What shows a secret by design, once, is
// named there and has to show it.
//
// Not looked for: the callback URL in an envelope, which is the receiver's own text, in
// the store and in GetDelivery, which needs a sender for that reason; and what callers
// take for a name, as they are free to.
func TestNoSecretShows(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s := newCanaryServer(t, []string{"--data", data})
	s.data = data

	configured := s.env
	s.env = []string{"RIPOSTE_LOG_LEVEL=debug"}
	s.start()
	s.stop()
	s.text("the first key", strings.TrimPrefix(s.file("admin.key"), "riposte_"))
	s.master("the first master key", s.file("master.key"))
	s.env = configured

	s.startAs()
	s.walk()
	s.master("the second master key", s.file("master.key"))
	s.crash()
	s.sawFiles(data, "admin.key", "master.key")
	s.startAs()
	s.stop()
	s.sawFiles(data, "admin.key", "master.key")
	s.sawTables(sqliteTables(t, filepath.Join(data, "riposte.db")))
	s.openSQLite(data)
	s.sawCommands("--data", data)
	s.sawLog()
	s.check()
}

func TestNoSecretShowsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	p := newOwnPostgres(t)
	p.exec("ALTER SYSTEM SET log_statement = 'all'")
	p.exec("SELECT pg_reload_conf()")
	s := newCanaryServer(t, nil)
	master := vault.NewMaster()
	s.master("the master key", master)
	password := s.text("the database's password", rand.Text())
	where := strings.Replace(p.appURL(), "app@", "app:"+password+"@", 1)
	s.env = append(s.env, "RIPOSTE_MASTER_KEY="+master, "RIPOSTE_DATABASE_URL="+where)

	s.startAs()
	s.walk()
	s.crash()
	s.startAs()
	s.stop()
	p.exec("CHECKPOINT")
	s.sawTables(postgresTables(t, p.url("riposte", "app")))
	s.sawFiles(p.data())
	s.sawFiles(p.dir, "data") // its log
	s.openPostgres(where, master)
	s.sawCommands("--database-url", where)
	s.sawLog()
	s.check()
}

func (s *canaryServer) file(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.data, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func (s *canaryServer) master(name, text string) {
	s.t.Helper()
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	s.bytes(name, key)
}

// walk does all that can be done to a server that runs.
func (s *canaryServer) walk() {
	s.makeCallers()
	s.makeReceivers()
	s.walkDeliveries()
	s.walkServerKeys()
	s.walkOperations()
	s.walkTokens()
	s.walkDoors()
	s.walkPages()
	s.walkCommands()
	s.walkOperators()
}

// crash has the process tell what it is at, and end.
func (s *canaryServer) crash() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		s.t.Fatal(err)
	}
	_ = s.wait()
	if !strings.Contains(s.log(), "goroutine ") {
		s.t.Errorf("the crash left no dump:\n%s", lastLines(s.log(), 10))
	}
}

func (s *canaryServer) sawLog() {
	s.t.Helper()
	if text := s.log(); !strings.Contains(text, `"DEBUG"`) {
		s.t.Errorf("this is no log at debug level:\n%s", lastLines(text, 10))
	}
	s.saw("the log", []byte(s.log()))
}

// walkDeliveries has questions fail in each phase, and answered in each way, with all
// that a webhook may add to its requests.
func (s *canaryServer) walkDeliveries() {
	t := s.t
	t.Helper()
	s.webhook = s.carrier(s.mutual + "/")
	id := s.question(s.webhook)
	s.closed(id)
	d := delivered(t, s.receiver, id, 1)
	if d.Header.Get("X-Canary") != s.header || d.Header.Get("Webhook-Signature") == "" {
		t.Fatalf("the request carries no secrets: %v", d.Header)
	}
	later := s.question(s.carrier(s.mutual + "/later"))
	s.waitingForCallback(later)
	d = delivered(t, s.receiver, later, 1)
	token := path.Base(d.Envelope.CallbackURL)
	opened, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	s.bytes("a callback's token", opened[1:]) // the first byte is a key's number
	for _, document := range []string{`{"version":"v2"}`, "", crashApproval, crashApproval} {
		s.answered(http.MethodPost, "/api/v1/webhooks/callback/"+token, document, http.Header{"Content-Type": {"application/json"}})
	}
	s.answered(http.MethodGet, "/api/v1/webhooks/callback/"+token, "", nil)
	s.answered(http.MethodPost, "/api/v1/webhooks/callback/"+token[:len(token)-2], crashApproval, nil)
	s.answered(http.MethodPost, "/api/v1/webhooks/callback/"+token+"/more", crashApproval, nil)
	s.closed(later)
	s.sawInstances(id, later)

	for _, at := range []string{
		s.receiver.URL + "/fails", s.receiver.URL + "/moved", s.receiver.URL + "/gone", s.receiver.URL + "/bad",
		"http://127.0.0.1:1/", strings.Replace(s.receiver.URL, "http:", "https:", 1), strings.Replace(s.mutual, "https:", "http:", 1),
		canaryReceiver(t, s.receiver, nil), // another authority's
		echo(t),
	} {
		id := s.question(s.carrier(at))
		eventually(t, "an attempt is recorded", func() bool { return len(s.get(id).GetAttempts()) > 0 })
		s.sawInstances(id)
	}
	hanging := s.question(s.carrier(s.receiver.URL + "/hangs"))
	delivered(t, s.receiver, hanging, 1)
	for _, d := range s.receiver.Deliveries("") {
		if scheme, jwt, _ := strings.Cut(d.Header.Get("Authorization"), " "); scheme == "bearer" {
			s.jwt("a delivery's JWT", jwt)
		}
	}
}

// carrier makes a webhook whose requests carry secrets.
func (s *canaryServer) carrier(at string) string {
	t := s.t
	t.Helper()
	id := s.newWebhook(at)
	push := s.receiver.URL + "/push"
	_, err := s.Settings.Update(patient(t), &ripostev1.WebhookSettingsServiceUpdateRequest{WebhookId: id, Settings: &ripostev1.WebhookSettings{
		Headers:           &ripostev1.WebhookHeaders{List: []*ripostev1.WebhookHeader{{Name: "X-Canary", Value: &s.header}}},
		ClientCertificate: s.certificate, CaPem: &s.authority, OutcomeUrl: &push,
	}})
	if err != nil {
		t.Fatal(err)
	}
	rotate := "/api/v1/webhooks/" + id + "/settings:rotateSecret"
	given := vault.NewMaster() // 32 bytes in base64
	key, err := base64.StdEncoding.DecodeString(given)
	if err != nil {
		t.Fatal(err)
	}
	s.bytes("a webhook's secret", key)
	s.answered(http.MethodPost, rotate, `{"secret":"whsec_`+given+`"}`, bearer(s.apiKey), "a webhook's secret")
	var made struct{ VerifyWith string }
	s.must(s.answered(http.MethodPost, rotate, `{}`, bearer(s.apiKey), "a webhook's secret of ours"), &made)
	if key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(made.VerifyWith, "whsec_")); err != nil {
		t.Fatal(err)
	}
	s.bytes("a webhook's secret of ours", key)
	s.answered(http.MethodPost, rotate, `{"scheme":"WEBHOOK_SECRET_SCHEME_V1A"}`, bearer(s.apiKey))
	return id
}

func (s *canaryServer) question(webhook string) string {
	s.t.Helper()
	res, err := s.Instances.Create(patient(s.t), crashRequest(webhook, ""))
	if err != nil {
		s.t.Fatal(err)
	}
	return res.GetInstance().GetWebhookInstance().GetId()
}

// sawInstances reads instances in every way. What would be sent is for senders.
func (s *canaryServer) sawInstances(ids ...string) {
	s.t.Helper()
	for _, id := range ids {
		at := "/api/v1/instances/" + id
		for _, path := range []string{at + "?view=FULL", at + ":wait?timeout=0s"} {
			s.answered(http.MethodGet, path, "", bearer(s.keys["viewer"]))
		}
		s.answered(http.MethodGet, at+"/delivery", "", bearer(s.keys["viewer"]))
		s.answered(http.MethodGet, at+"/delivery", "", bearer(s.keys["admin"]))
		s.lastMay("a callback's token")
	}
}

// walkServerKeys rotates the server's own keys, each use's.
func (s *canaryServer) walkServerKeys() {
	s.t.Helper()
	for _, r := range []*ripostev1.ServerKeysServiceRotateRequest{
		{Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_SIGNING, Algorithm: "ES256"},
		{Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_SIGNING, Algorithm: "RS256"},
		{Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_CALLBACK},
		{Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_ACCESS_TOKEN},
		{Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_DATA},
	} {
		r.PublishFor = durationpb.New(0)
		eventually(s.t, "the key before is in use, so that there may be a next one", func() bool {
			_, err := s.ServerKeys.Rotate(s.t.Context(), r)
			if err != nil && connect.CodeOf(err) != connect.CodeFailedPrecondition {
				s.t.Fatalf("rotating %s: %v", r.GetUse(), err)
			}
			return err == nil
		})
	}
	s.closed(s.question(s.carrier(s.mutual + "/after-rotation")))
}
