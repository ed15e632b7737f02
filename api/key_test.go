package api_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

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
