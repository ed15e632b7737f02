package outbound

import (
	"context"
	"errors"
	"net/http"

	"github.com/riposte-dev/riposte"
)

// Question returns the request with which an attempt would ask an instance's question
// now, whatever state it is in, and sends nothing. Its Webhook-Attempt is that of the
// next attempt where one is to come, or else of the last one; 1 where there was none.
// Headers that the webhook's settings add have "<hidden>" for their values. The
// error is a riposte.Error with the code CodeFailedPrecondition when nothing would
// be sent, because the destination breaks a rule that the client has or a secret can't
// be opened.
func (c *Client) Question(ctx context.Context, asked riposte.ClaimedInstance) (*http.Request, error) {
	i := asked.Instance
	number := i.Attempts
	if i.State == riposte.StatePending || i.State == riposte.StateError {
		number++
	}
	m, err := c.question(asked, max(number, 1))
	if errors.Is(err, errUnreadable) {
		return nil, &riposte.Error{Code: riposte.CodeFailedPrecondition, Reason: ReasonSecretUnreadable,
			Message: "nothing would be sent: " + messages[cause{riposte.PhasePrepare, ReasonSecretUnreadable}]}
	}
	if err != nil {
		return nil, err
	}
	m.beyond = m.beyond.hidden()
	req, err := c.build(ctx, m, c.now())
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
