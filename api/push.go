package api

import (
	"fmt"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/apijson"
)

// OutcomeBody is the body of a push: a delivery's, but for the callback URL, with
// the instance as it was when its outcome was decided. So it has the same bytes
// each time, whatever has become of the push meanwhile.
func OutcomeBody(i riposte.Instance) ([]byte, error) {
	id := i.OutcomeID()
	i.State, i.UpdatedAt = riposte.StateProcessResponse, i.Outcome.DecidedAt
	i.OutcomeURL, i.Push = "", nil
	instance, err := apijson.Marshal(decidedInstanceMessage(i))
	if err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, `{"version":"v1","webhookId":"%s","event":"%[2]s","payload":{"@type":"type.googleapis.com/%[2]s","instance":`, id, riposte.PushEvent)
	return append(append(b, instance...), "}}"...), nil
}
