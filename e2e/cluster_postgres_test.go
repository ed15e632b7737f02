package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresBinVariable names the environment variable that has the folder of
// PostgreSQL's programs; scripts/postgres sets it.
const postgresBinVariable = "RIPOSTE_TEST_POSTGRES_BIN"

// ownPostgres is a PostgreSQL server that a test may stop and promote, with its
// durability on. It has the database app, of the role app, which is no
// superuser.
type ownPostgres struct {
	t      *testing.T
	dir    string
	port   int
	cmd    *exec.Cmd
	exited chan struct{}
}

// newOwnPostgres starts a server on an empty cluster.
func newOwnPostgres(t *testing.T) *ownPostgres {
	t.Helper()
	p := newPostgresDir(t)
	p.run("initdb", "-D", p.data(), "-U", "riposte", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	p.start()
	p.exec("CREATE ROLE app LOGIN")
	p.create("app")
	return p
}

// newPostgresDir is a server without a cluster yet.
func newPostgresDir(t *testing.T) *ownPostgres {
	t.Helper()
	if os.Getenv(postgresBinVariable) == "" {
		t.Fatalf("%s is not set: run the tests by scripts/postgres go test, with PostgreSQL installed", postgresBinVariable)
	}
	// Not below t.TempDir, which the server's user may not enter, and not in a
	// /tmp that may be kept in memory.
	parent := os.Getenv("TMPDIR")
	if parent == "" {
		parent = "/var/tmp"
	}
	dir, err := os.MkdirTemp(parent, "riposte-cluster.")
	if err != nil {
		t.Fatal(err)
	}
	p := &ownPostgres{t: t, dir: dir}
	t.Cleanup(p.remove)
	if os.Getuid() == 0 {
		if out, err := exec.Command("chown", "postgres:", dir).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v\n%s", err, out)
		}
	}
	return p
}

func (p *ownPostgres) data() string { return filepath.Join(p.dir, "data") }

// command is one of PostgreSQL's programs, which refuse to run as root.
func (p *ownPostgres) command(name string, args ...string) *exec.Cmd {
	args = append([]string{filepath.Join(os.Getenv(postgresBinVariable), name)}, args...)
	if os.Getuid() == 0 {
		args = append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = p.dir
	return cmd
}

func (p *ownPostgres) run(name string, args ...string) {
	p.t.Helper()
	if out, err := p.command(name, args...).CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// start runs the server on the port that it had before. At first it tries ports
// until it has got one: only its own bind can tell that a port is free. They lie
// below those that the kernel gives to outgoing connections.
func (p *ownPostgres) start() {
	p.t.Helper()
	isNew := p.port == 0
	for try := 0; ; try++ {
		if isNew {
			p.port = 20000 + rand.N(12000)
		}
		err := p.tryStart()
		if err == nil {
			return
		}
		if !isNew || try == 10 || !strings.Contains(err.Error(), "Address already in use") {
			p.t.Fatalf("starting PostgreSQL: %v", err)
		}
	}
}

func (p *ownPostgres) tryStart() error {
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = p.command("postgres", "-D", p.data(), "-p", fmt.Sprint(p.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "shared_buffers=32MB", "-c", "fsync=on", "-c", "synchronous_commit=on")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	exited, cmd := make(chan struct{}), p.cmd
	p.exited = exited
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
	for deadline := time.After(patience); ; {
		conn, err := pgx.Connect(context.Background(), p.url("riposte", "postgres"))
		if err == nil {
			return conn.Close(context.Background())
		}
		select {
		case <-exited:
			return fmt.Errorf("it ended:\n%s", p.log())
		case <-deadline:
			return fmt.Errorf("%w\n%s", err, p.log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// log is what the running server has written.
func (p *ownPostgres) log() []byte {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return bytes.TrimSpace(b)
}

// stopAtOnce ends the server as pg_ctl -m immediate does: no checkpoint, and no
// connection is told more than that it is over.
func (p *ownPostgres) stopAtOnce() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	<-p.exited
}

func (p *ownPostgres) remove() {
	if p.exited != nil {
		p.stopAtOnce()
	}
	if err := os.RemoveAll(p.dir); err != nil {
		p.t.Error(err)
	}
}

func (p *ownPostgres) url(user, database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", user, p.address(), database)
}

func (p *ownPostgres) address() string { return fmt.Sprintf("127.0.0.1:%d", p.port) }

// appURL is where nodes find their database.
func (p *ownPostgres) appURL() string { return p.url("app", "app") }

// exec runs a statement on a connection of its own.
func (p *ownPostgres) exec(statement string) {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.url("riposte", "postgres"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(p.t.Context(), statement); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

// is asks a question until its answer is yes.
func (p *ownPostgres) is(question string) {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.url("riposte", "postgres"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	eventually(p.t, question, func() bool {
		var yes bool
		if err := conn.QueryRow(p.t.Context(), question).Scan(&yes); err != nil {
			p.t.Fatalf("%s: %v", question, err)
		}
		return yes
	})
}

// create makes a database of the role app's.
func (p *ownPostgres) create(database string) {
	p.t.Helper()
	p.exec("CREATE DATABASE " + database + " OWNER app")
}

// endConnections ends those of the nodes, so that they come again under the
// rules that hold now.
func (p *ownPostgres) endConnections(database string) {
	p.t.Helper()
	p.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND datname = '` + database + `'`)
}

// follow makes a new standby of a primary in p's place and returns when no
// commit of the primary's is answered that the standby has not on disk.
func (p *ownPostgres) follow(primary *ownPostgres) {
	p.t.Helper()
	if err := os.RemoveAll(p.data()); err != nil {
		p.t.Fatal(err)
	}
	p.run("pg_basebackup", "-D", p.data(), "-h", "127.0.0.1", "-p", fmt.Sprint(primary.port), "-U", "riposte", "-R", "-X", "stream", "-c", "fast")
	p.start()
	primary.exec("ALTER SYSTEM SET synchronous_standby_names = '*'")
	primary.exec("SELECT pg_reload_conf()")
	primary.is("SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'")
}

// lose cuts a standby off from its primary: from now on no commit may be answered
// there, because only the primary would have it.
func (p *ownPostgres) lose(primary *ownPostgres) {
	p.t.Helper()
	p.exec("ALTER SYSTEM SET primary_conninfo = ''")
	p.exec("SELECT pg_reload_conf()")
	primary.is("SELECT count(*) = 0 FROM pg_stat_replication")
}

// promote makes a primary of a standby, which waits for no other one.
func (p *ownPostgres) promote() {
	p.t.Helper()
	p.exec("ALTER SYSTEM RESET synchronous_standby_names")
	p.exec("SELECT pg_reload_conf()")
	p.is("SELECT current_setting('synchronous_standby_names') = ''")
	p.is("SELECT pg_promote(true, 60)")
}
