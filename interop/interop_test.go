package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// house is a server that is reached by TLS, and what a client of it has in its
// environment.
type house struct {
	t   *testing.T
	env []string
}

func newHouse(t *testing.T) house {
	t.Helper()
	receiver, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{Body: "fine"} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	s := ripostetest.Start(t, ripostetest.WithTLS)
	authority := server.AuthorityFile(s.Config.Data)
	res, err := s.Clients.Create(t.Context(), &ripostev1.ClientsServiceCreateRequest{Name: "interop", Role: ripostev1.Role_ROLE_ADMIN})
	if err != nil {
		t.Fatal(err)
	}
	return house{t, append(os.Environ(), "CLIENT_ID="+res.GetClient().GetClientId(), "CLIENT_SECRET="+res.GetClientSecret(),
		"SERVER="+s.URL(), "RECEIVER="+receiver.URL, "SSL_CERT_FILE="+authority, "NODE_EXTRA_CA_CERTS="+authority)}
}

// run has a program do its work within a minute.
func (h house) run(name string, args ...string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = h.env
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}

func TestGoClients(t *testing.T) {
	program := filepath.Join(t.TempDir(), "goclient")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./goclient").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, way := range []string{"assertion", "auto", "header", "form"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			newHouse(t).run(program, way)
		})
	}
}

// TestNodeClients needs what npm ci installs in node/.
func TestNodeClients(t *testing.T) {
	for _, way := range []string{"c1", "assertion", "header", "form"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			newHouse(t).run("node", "node/client.js", way)
		})
	}
}
