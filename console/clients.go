package console

import (
	"net/http"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// tokenPath is where the API has the token endpoint.
const tokenPath = "/auth/v1/token"

// clientsData is what the page of this name shows.
type clientsData struct {
	Created *ripostev1.ClientsServiceCreateResponse // with the secret, which nobody can see again
	Rows    []clientRow
	Form    keyForm
	Server  string // the server's URL, for commands
}

// clientRow is a client in the list.
type clientRow struct {
	*ripostev1.Client
	Expired bool
}

// Token is a command that gets an access token for the client that was just made.
func (d clientsData) Token() string {
	return "CLIENT_ID='" + d.Created.GetClient().GetClientId() + "'\n" +
		"CLIENT_SECRET='…'\n" +
		"curl " + d.Server + tokenPath + " -d grant_type=client_credentials \\\n" +
		`  --data-urlencode "client_id=$CLIENT_ID" --data-urlencode "client_secret=$CLIENT_SECRET"`
}

func (v *visit) clients() error { return v.showClients(http.StatusOK, newKeyForm(), nil) }

func (v *visit) showClients(status int, form keyForm, created *ripostev1.ClientsServiceCreateResponse) error {
	list, err := v.api.clients.List(v.call(), &ripostev1.ClientsServiceListRequest{})
	if err != nil {
		return err
	}
	d := clientsData{Created: created, Form: form, Server: v.PublicURL}
	for _, c := range list.GetList() {
		d.Rows = append(d.Rows, clientRow{c, expired(c.GetExpiresAt(), time.Now())})
	}
	return v.show(status, "clients", page{Title: "Clients", Nav: "/clients", Data: d})
}

// createClient answers with the page itself, as createKey does.
func (v *visit) createClient() error {
	form := readKeyForm(v.r)
	limits, ok := form.parse(time.Now())
	if !ok {
		return v.showClients(http.StatusUnprocessableEntity, form, nil)
	}
	res, err := v.api.clients.Create(v.call(), &ripostev1.ClientsServiceCreateRequest{
		Name: form.Name, Role: limits.Role, ExpiresAt: limits.ExpiresAt, RateLimit: limits.RateLimit})
	if form.Problems = violations(err); form.Problems != nil {
		return v.showClients(http.StatusUnprocessableEntity, form, nil)
	}
	if err != nil {
		return err
	}
	return v.showClients(http.StatusOK, newKeyForm(), res)
}

func (v *visit) revokeClient() error {
	if _, err := v.api.clients.Revoke(v.call(), &ripostev1.ClientsServiceRevokeRequest{Id: v.id()}); err != nil {
		return err
	}
	return v.redirect("/clients", "client-revoked")
}
