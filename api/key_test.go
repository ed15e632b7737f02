package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// key makes one and returns it with the header that calls with it.
func (n *node) key(name string, role ripostev1.Role) (*ripostev1.Key, string) {
	n.t.Helper()
	res, err := n.Keys.Create(n.t.Context(), &ripostev1.KeysServiceCreateRequest{Name: name, Role: role})
	if err != nil {
		n.t.Fatal(err)
	}
	return res.GetKey(), "Bearer " + res.GetSecret()
}

func TestKeysAreListedTheConfiguredOneFirst(t *testing.T) {
	n := startNode(t)
	older, _ := n.key("older", ripostev1.Role_ROLE_SENDER)
	newer, _ := n.key("newer", ripostev1.Role_ROLE_ADMIN)
	res, err := n.Keys.List(t.Context(), &ripostev1.KeysServiceListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range res.GetList() {
		got = append(got, k.GetId()+" "+k.GetName()+" "+k.GetRole().String()+" "+k.GetCreatedAt().AsTime().String())
	}
	want := []string{got[0]}
	for _, k := range []*ripostev1.Key{newer, older} {
		want = append(want, k.GetId()+" "+k.GetName()+" "+k.GetRole().String()+" "+k.GetCreatedAt().AsTime().String())
	}
	if !slices.Equal(got, want) || res.GetList()[0].GetId() != "configured" {
		t.Errorf("the keys are %q, want the configured one and %q", got, want[1:])
	}
}

func TestCurrentIsTheKeyOfTheCall(t *testing.T) {
	n := startNode(t)
	k, authorization := n.key("screen", ripostev1.Role_ROLE_VIEWER)
	var got struct {
		Key struct {
			ID, Name, Role string
			CreatedAt      time.Time
		}
	}
	for range 2 { // from the store, and as the node remembers it
		if err := json.Unmarshal(okJSON(t, n.send(http.MethodGet, "/api/v1/keys/current", "", "Authorization", authorization)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Key.ID != k.GetId() || got.Key.Name != "screen" || got.Key.Role != "ROLE_VIEWER" || !got.Key.CreatedAt.Equal(k.GetCreatedAt().AsTime()) {
			t.Errorf("it is %+v, want %v", got.Key, k)
		}
	}
}

func TestRevokedKeyIsNoKeyAtOnce(t *testing.T) {
	n := startNode(t)
	_, stays := n.key("stays", ripostev1.Role_ROLE_ADMIN)
	k, authorization := n.key("console", ripostev1.Role_ROLE_ADMIN)
	// Its own revocation is the last thing that it is good for.
	for range 2 {
		okJSON(t, n.send(http.MethodGet, "/api/v1/keys/current", "", "Authorization", authorization))
	}
	okJSON(t, n.send(http.MethodDelete, "/api/v1/keys/"+k.GetId(), "", "Authorization", authorization))
	r := n.send(http.MethodGet, "/api/v1/keys/current", "", "Authorization", authorization)
	if s := r.error(t); r.status != http.StatusUnauthorized || s.reason() != "BAD_CREDENTIALS" {
		t.Errorf("HTTP %d, %s", r.status, r.body)
	}
	okJSON(t, n.send(http.MethodGet, "/api/v1/keys/current", "", "Authorization", stays))
	again := n.send(http.MethodDelete, "/api/v1/keys/"+k.GetId(), "", "Authorization", stays)
	if s := again.error(t); again.status != http.StatusNotFound || s.reason() != "KEY_NOT_FOUND" {
		t.Errorf("revoked again: HTTP %d, %s", again.status, again.body)
	}
}

// TestLastKeyOfAnAdminStays: nobody could make another one.
func TestLastKeyOfAnAdminStays(t *testing.T) {
	dir := t.TempDir()
	s := ripostetest.Start(t, func(c *server.Config) { c.APIKey, c.Data = "", dir })
	secret, err := os.ReadFile(filepath.Join(dir, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	c := ripostetest.NewClient(s.BaseURL(), strings.TrimSpace(string(secret)))
	t.Cleanup(c.CloseIdleConnections)
	create := func(role ripostev1.Role) string {
		res, err := c.Keys.Create(t.Context(), &ripostev1.KeysServiceCreateRequest{Name: "n", Role: role})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetKey().GetId()
	}
	create(ripostev1.Role_ROLE_SENDER)
	current, err := c.Keys.Current(t.Context(), &ripostev1.KeysServiceCurrentRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first := &ripostev1.KeysServiceRevokeRequest{Id: current.GetKey().GetId()}
	if _, err := c.Keys.Revoke(t.Context(), first); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("revoking the last one: %v", err)
	}
	create(ripostev1.Role_ROLE_ADMIN)
	if _, err := c.Keys.Revoke(t.Context(), first); err != nil {
		t.Errorf("revoking one of two: %v", err)
	}
}

// TestLastStoredKeyOfAnAdminGoes where the configuration gives another one.
func TestLastStoredKeyOfAnAdminGoes(t *testing.T) {
	n := startNode(t)
	k, _ := n.key("n", ripostev1.Role_ROLE_ADMIN)
	if _, err := n.Keys.Revoke(t.Context(), &ripostev1.KeysServiceRevokeRequest{Id: k.GetId()}); err != nil {
		t.Error(err)
	}
}

// TestKeyIsRefusedFromItsEndOn, and what waits with it ends then, too.
func TestKeyIsRefusedFromItsEndOn(t *testing.T) {
	const life = 10 * time.Second
	for name, rest := range map[string]string{
		"wait":  "GET /api/v1/instances/{waiting}:wait?timeout=60s",
		"watch": "GET /api/v1/instances:watch",
		"pull":  "POST /api/v1/consumers/c:pull",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newInProcess(t)
				var made struct {
					Key    struct{ ExpiresAt time.Time }
					Secret string
				}
				p.do("POST /api/v1/keys", `{"role":"ROLE_SENDER","name":"test","expiresAt":"`+p.store.Now().Add(life).Format(time.RFC3339Nano)+`"}`, &made)
				if got := time.Until(made.Key.ExpiresAt); got != life {
					t.Errorf("it expires in %s", got)
				}
				p.do("POST /api/v1/consumers", `{"name":"c","filter":"createdBy = test"}`, &struct{}{})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				call := func() *httptest.ResponseRecorder {
					r := newRequest(ctx, strings.ReplaceAll(rest, "{waiting}", p.waiting), map[string]string{"pull": `{"wait":"60s"}`}[name])
					r.Header.Set("Authorization", "Bearer "+made.Secret)
					w := httptest.NewRecorder()
					p.api.ServeHTTP(w, r)
					return w
				}
				start := time.Now()
				w := call()
				if took := time.Since(start); took < life || took > life+5*time.Second {
					t.Errorf("it ends after %s", took)
				}
				if !strings.Contains(w.Body.String(), "KEY_EXPIRED") {
					t.Errorf("it ends with HTTP %d, %s", w.Code, w.Body)
				}
				if w := call(); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "KEY_EXPIRED") || w.Header().Get("WWW-Authenticate") == "" {
					t.Errorf("afterwards: HTTP %d, %v, %s", w.Code, w.Header(), w.Body)
				}
			})
		})
	}
}

// TestWhatWaitsTellsARevokedKeyNothing of what came meanwhile.
func TestWhatWaitsTellsARevokedKeyNothing(t *testing.T) {
	for name, rest := range map[string]string{"wait": "GET /api/v1/instances/{waiting}:wait", "pull": "POST /api/v1/consumers/c:pull"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newInProcess(t)
				var made struct {
					Key    struct{ ID string }
					Secret string
				}
				p.do("POST /api/v1/keys", `{"role":"ROLE_SENDER","name":"test"}`, &made)
				p.do("POST /api/v1/consumers", `{"name":"c","filter":"createdBy = test"}`, &struct{}{})
				var changing sync.WaitGroup
				changing.Go(func() {
					time.Sleep(time.Second)
					p.do("DELETE /api/v1/keys/"+made.Key.ID, "", &struct{}{})
					p.do("POST /api/v1/instances/"+p.waiting+":cancel", "{}", &struct{}{})
				})
				r := newRequest(t.Context(), strings.ReplaceAll(rest, "{waiting}", p.waiting), map[string]string{"pull": `{"wait":"30s"}`}[name])
				r.Header.Set("Authorization", "Bearer "+made.Secret)
				w := httptest.NewRecorder()
				p.api.ServeHTTP(w, r)
				changing.Wait() // the answer may come before theirs, and the test's end would end them
				if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "BAD_CREDENTIALS") {
					t.Errorf("HTTP %d, %s", w.Code, w.Body)
				}
			})
		})
	}
}

// TestLastUseIsSavedOffThePathOfCalls: every 30 s at most, and at the end.
func TestLastUseIsSavedOffThePathOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &savingUses{Store: newStore(t)}
		p := newInProcessOf(t, store)
		var made struct {
			Key    struct{ ID string }
			Secret string
		}
		p.do("POST /api/v1/keys", `{"role":"ROLE_VIEWER","name":"reader"}`, &made)
		use := func() {
			r := newRequest(t.Context(), "GET /api/v1/webhooks", "")
			r.Header.Set("Authorization", "Bearer "+made.Secret)
			w := httptest.NewRecorder()
			if p.api.ServeHTTP(w, r); w.Code != http.StatusOK {
				t.Fatalf("HTTP %d, %s", w.Code, w.Body)
			}
		}
		saved := func() time.Time {
			all, err := store.ListKeys(t.Context())
			if err != nil || len(all) != 1 {
				t.Fatalf("%v, %v", all, err)
			}
			return all[0].LastUsedAt
		}
		listed := func() (last time.Time) {
			var list struct {
				List []struct {
					ID         string
					LastUsedAt *time.Time
				}
			}
			p.do("GET /api/v1/keys", "", &list)
			for _, k := range list.List {
				if k.ID == made.Key.ID && k.LastUsedAt != nil {
					last = *k.LastUsedAt
				}
			}
			return last
		}
		if got := listed(); !got.IsZero() {
			t.Errorf("before its first use it was used at %s", got)
		}
		use()
		first := store.Now()
		if got := listed(); !got.Equal(riposte.Time(first)) || !saved().IsZero() {
			t.Errorf("listed %s, saved %s, used at %s", got, saved(), first)
		}
		for range 10 {
			time.Sleep(3 * time.Second)
			use()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := saved(); got.Before(first) || store.saves.Load() != 1 {
			t.Errorf("saved %s, %d times", got, store.saves.Load())
		}
		use()
		last := store.Now()
		p.api.Close()
		if got := saved(); !got.Equal(riposte.Time(last)) {
			t.Errorf("saved %s at the end, used at %s", got, last)
		}
	})
}

// savingUses counts the saves of last uses.
type savingUses struct {
	riposte.Store
	saves atomic.Int32
}

func (s *savingUses) SaveLastUses(ctx context.Context, uses map[string]time.Time) error {
	s.saves.Add(1)
	return s.Store.SaveLastUses(ctx, uses)
}
