package receiver_test

import (
	"log"
	"net/http"

	"github.com/riposte-dev/riposte/receiver"
)

// docs/receivers.md shows this.
func Example() {
	v, err := receiver.NewVerifier("https://riposte.example.com", "https://example.com/hook")
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /hook", func(w http.ResponseWriter, r *http.Request) {
		d, err := v.Verify(r)
		if err != nil {
			receiver.Refuse(w, err)
			return
		}
		log.Println("asked", d.InstanceID) // the same on every attempt: act on it once
		receiver.Respond(w, receiver.Approve("fine by me"))
	})
}
