package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/riposte-dev/riposte/receiver"
)

// systems are the other side: whom the application asks. They would belong to
// other people elsewhere; here they are three receivers on one port.
type systems struct {
	store *Store
	say   func(ticket, format string, args ...any)
}

// subject is what the application's payloads have in common, as its questions name it.
type subject struct {
	Ticket string   `json:"ticket"`
	Who    string   `json:"who"`
	Wants  string   `json:"wants"`
	Users  []string `json:"users"`
	Result string   `json:"result"`
	Why    string   `json:"why"`
}

// reply is a system's answer to a delivery. Without a document it comes later, by
// callback.
type reply struct {
	status   int
	document []byte
	said     string // for the terminal, once it is committed
}

// answerWith makes the reply of a document.
func answerWith(d receiver.Document, said string) (reply, error) {
	b, err := d.JSON()
	return reply{status: http.StatusOK, document: b, said: said}, err
}

// act is what a system does about a question, in a transaction.
type act func(tx *sql.Tx, d receiver.Delivery, about subject) (reply, error)

// errBusy rolls back what a system did, and lets Riposte ask again later.
var errBusy = errors.New("too busy now")

func (s *systems) all() map[string]act {
	return map[string]act{"approver": s.approve, "provisioner": s.provision, "notifier": s.notify}
}

// listen takes the address that the store has, because the instances that are open
// know it, and any one the first time.
func listen(ctx context.Context, s *Store) (net.Listener, error) {
	address, err := s.setting(ctx, "address")
	if err != nil {
		return nil, fmt.Errorf("reading the receivers' address: %w", err)
	}
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening where the receivers were before; does another accessrequest run on this --data? %w", err)
	}
	return l, s.set(ctx, "address", l.Addr().String())
}

// urls are those of the systems' receivers.
func (s *systems) urls(l net.Listener) map[string]string {
	urls := map[string]string{}
	for name := range s.all() {
		urls[name] = "http://" + l.Addr().String() + "/" + name
	}
	return urls
}

// serve answers deliveries until ctx ends.
func (s *systems) serve(ctx context.Context, l net.Listener, server string) error {
	mux := http.NewServeMux()
	for name, act := range s.all() {
		v, err := receiver.NewVerifier(server, s.urls(l)[name])
		if err != nil {
			return fmt.Errorf("making the verifier of the %s: %w", name, err)
		}
		mux.Handle("POST /"+name, s.receive(name, v, act))
	}
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { h.Close() })
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the receivers: %w", err)
	}
	return ctx.Err()
}

// receive verifies a delivery, and acts on it if nobody did yet.
func (s *systems) receive(name string, v *receiver.Verifier, act act) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d, err := v.Verify(r)
		if err != nil {
			s.say("", "%s refuses a request: %v", name, err)
			receiver.Refuse(w, err)
			return
		}
		if d.Source == receiver.SourceTest { // somebody looks whether this receiver is there
			_ = receiver.Respond(w, receiver.VersionAlone())
			return
		}
		halt(name + ": received")
		answer, err := s.once(r.Context(), d, act)
		switch {
		case errors.Is(err, errBusy):
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case err != nil:
			s.say("", "%s can't act on instance %s: %v", name, d.InstanceID, err)
			http.Error(w, "", http.StatusInternalServerError)
		case answer.status == http.StatusAccepted:
			halt(name + ": acted, not answered")
			receiver.Later(w)
		default:
			halt(name + ": acted, not answered")
			_ = receiver.Respond(w, receiver.Raw(answer.document)) // asked again, it says the same again
		}
	}
}

// once acts, and keeps the answer, in one transaction. An instance that is known by
// its id gets the answer that was kept.
func (s *systems) once(ctx context.Context, d receiver.Delivery, act act) (answer reply, err error) {
	var about subject
	err = s.store.tx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRow(`SELECT status, document FROM answer WHERE instance_id = ?`, d.InstanceID).Scan(&answer.status, &answer.document)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := json.Unmarshal(d.Payload, &about); err != nil {
			return fmt.Errorf("reading the payload: %w", err)
		}
		if answer, err = act(tx, d, about); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO answer VALUES (?, ?, ?)`, d.InstanceID, answer.status, string(answer.document))
		return err
	})
	if err == nil && answer.said != "" {
		s.say(about.Ticket, "  %s", answer.said)
	}
	return answer, err
}

// provision makes an account, for all but the mainframe.
func (s *systems) provision(tx *sql.Tx, _ receiver.Delivery, about subject) (reply, error) {
	if about.Wants == "mainframe" {
		return answerWith(receiver.Errored("no seat is left"), "provisioner: no seat is left for "+about.Who)
	}
	if _, err := tx.Exec(`INSERT INTO account (ticket, who, wants) VALUES (?, ?, ?)`, about.Ticket, about.Who, about.Wants); err != nil {
		return reply{}, err
	}
	return answerWith(receiver.Complete("the account is there"), "provisioner: made the account for "+about.Who)
}

// notify tells the person.
func (s *systems) notify(tx *sql.Tx, _ receiver.Delivery, about subject) (reply, error) {
	text := fmt.Sprintf("%s: %s", about.Wants, about.Result)
	if about.Why != "" {
		text += ", " + about.Why
	}
	if _, err := tx.Exec(`INSERT INTO notice (ticket, who, text) VALUES (?, ?, ?)`, about.Ticket, about.Who, text); err != nil {
		return reply{}, err
	}
	return answerWith(receiver.VersionAlone(), fmt.Sprintf("notifier: told %s %q", about.Who, text))
}
