package outbound

import (
	"context"
	"errors"
	"net/http"

	"github.com/riposte-dev/riposte"
)

// Question returns the request with which an attempt would ask i's question now,
// whatever state i is in, and sends nothing. Its Webhook-Attempt is that of the next
// attempt where one is to come, or else of the last one; 1 where there was none. The
// error is a riposte.Error with the code CodeFailedPrecondition when no attempt would
// be made, because the destination breaks a rule that the client has.
func (c *Client) Question(ctx context.Context, i riposte.Instance, e riposte.Envelope) (*http.Request, error) {
	number := i.Attempts
	if i.State == riposte.StatePending || i.State == riposte.StateError {
		number++
	}
	req, err := c.build(ctx, question(i, e, max(number, 1)), c.now())
	if rule, ok := errors.AsType[urlRule](err); ok {
		return nil, &riposte.Error{Code: riposte.CodeFailedPrecondition, Reason: classify(err, riposte.PhaseConnect).reason,
			Message: "no attempt would be made: the instance's destination " + rule.Error()}
	}
	if err != nil {
		return nil, err
	}
	own := *req.URL // the client's is for all attempts there
	req.URL = &own
	return req, nil
}
