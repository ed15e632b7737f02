package riposte

import (
	"strconv"
	"time"
)

// RequestSettings is what a webhook's requests have beyond the contract. A store keeps
// it as JSON. What is secret in it is sealed for a purpose that has the webhook's id in
// it, so that nothing that is moved to another webhook can be opened there. It is
// changed by value: none of its slices is ever written to.
type RequestSettings struct {
	Headers           []Header           `json:"headers,omitempty"` // in the order in which they were given
	Secrets           []WebhookSecret    `json:"secrets,omitempty"` // newest first
	ClientCertificate *ClientCertificate `json:"clientCertificate,omitempty"`
	CA                string             `json:"ca,omitempty"` // PEM; the authorities that the receiver's certificate may come from; "" for the system's
}

// Empty reports whether requests have nothing beyond the contract.
func (r RequestSettings) Empty() bool {
	return len(r.Headers) == 0 && len(r.Secrets) == 0 && r.ClientCertificate == nil && r.CA == ""
}

// Sealer seals a secret for a purpose: what is sealed for one can't be opened for
// another.
type Sealer func(purpose string, secret []byte) Sealed

// RequestChange is a change of RequestSettings. What is nil in it stays as it is.
type RequestChange struct {
	Headers           *[]HeaderChange          // all that there are afterwards
	ClientCertificate *ClientCertificateChange // a zero one for none
	CA                *string                  // PEM; "" for the system's authorities
}

// ChangeRequest changes the settings of w's requests, but for the secrets. Its error
// names all that is wrong.
func (w *Webhook) ChangeRequest(c RequestChange, seal Sealer, now time.Time) error {
	var v violations
	r := w.Settings.Request
	if c.Headers != nil {
		r.Headers = changeHeaders(&v, r.Headers, *c.Headers, w.sealing(seal))
	}
	if c.ClientCertificate != nil {
		r.ClientCertificate = changeClientCertificate(&v, r.ClientCertificate, *c.ClientCertificate, w.sealing(seal), now)
	}
	if c.CA != nil && *c.CA != r.CA { // what is there may have run out since
		r.CA = *c.CA
		checkAuthorities(&v, r.CA, now)
	}
	if len(v) == 0 {
		w.Settings.Request = r
	}
	return v.err()
}

// sealing is seal for what is w's.
func (w *Webhook) sealing(seal Sealer) Sealer {
	return func(purpose string, secret []byte) Sealed { return seal(webhookPurpose(w.ID, purpose), secret) }
}

func webhookPurpose(webhookID, purpose string) string { return "webhook/" + webhookID + "/" + purpose }

// element names a member of a list as the API's violations do.
func element(list string, n int, field string) string {
	return list + "[" + strconv.Itoa(n) + "]." + field
}
