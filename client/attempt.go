package client

import (
	"context"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// Attempt is one HTTP try to reach the receiver.
type Attempt struct {
	Number     int       // from 1
	StartedAt  time.Time // UTC, in microseconds
	Duration   time.Duration
	StatusCode int          // 0 when no status line came
	Error      AttemptError // zero when the response was read whole
}

// AttemptError says in which phase an attempt failed and why.
type AttemptError struct {
	Phase   string // dns, connect, tls, request, response or unknown
	Reason  string // UPPER_SNAKE and stable, for programs
	Message string
}

// Attempts returns the attempts of an instance so far, in their order, for an audit
// trail: once there is an outcome, all that were begun. One that was in flight when
// something else closed the instance has the phase unknown until its result comes,
// and for good if the server died in it.
func (c *Client) Attempts(ctx context.Context, instanceID string) ([]Attempt, error) {
	r := &ripostev1.InstancesServiceGetRequest{Id: instanceID, View: ripostev1.InstanceView_INSTANCE_VIEW_FULL}
	res, err := retry(ctx, "getting the attempts of instance "+instanceID, callTimeout, c.instances.Get, r)
	if err != nil {
		return nil, err
	}
	var attempts []Attempt
	for _, a := range res.GetInstance().GetAttempts() {
		attempts = append(attempts, Attempt{
			Number:     int(a.GetNumber()),
			StartedAt:  a.GetStartedAt().AsTime(),
			Duration:   a.GetDuration().AsDuration(),
			StatusCode: int(a.GetStatusCode()),
			Error:      AttemptError{Phase: a.GetError().GetPhase(), Reason: a.GetError().GetReason(), Message: a.GetError().GetMessage()},
		})
	}
	return attempts, nil
}
