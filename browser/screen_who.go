package browser

// clientScreens, serverKeyScreens and auditScreens are for admins alone, as keyScreens.
func clientScreens() []Screen {
	create := func(t *Tab, name string) {
		t.Fill("Name", name)
		t.Follow("button", "Create")
	}
	return []Screen{
		{Name: "clients", Path: "/clients"},
		{Name: "client-created", Path: "/clients", Before: func(t *Tab) {
			create(t, "")
			t.UntilText("it is never shown again")
		}},
		{Name: "client-wrong", Path: "/clients", Before: func(t *Tab) {
			t.Fill("Expires after", "a while")
			t.Fill("Calls a second", "many")
			create(t, "Terraform")
			t.UntilText("Calls a second must")
		}},
	}
}

func serverKeyScreens() []Screen {
	return []Screen{
		{Name: "server-keys", Path: "/server-keys"},
		{Name: "server-keys-rotate", Path: "/server-keys", Before: func(t *Tab) { t.Unfold("Rotate the data keys…") }},
		{Name: "server-keys-refused", Path: "/server-keys", Before: func(t *Tab) {
			t.Unfold("Rotate the signing keys…")
			t.ClickIn("#rotate-signing", "button", "Make the next key")
			t.UntilText("rotate again when it is")
		}},
	}
}

func auditScreens() []Screen {
	return []Screen{
		{Name: "audit", Path: "/audit"},
		{Name: "audit-filtered", Path: "/audit?operation=WebhookSettingsService.RotateSecret&since=720h"},
		{Name: "audit-none", Path: "/audit?actor=nobody"},
		{Name: "audit-wrong", Path: "/audit?from=yesterday&to=never"},
	}
}

func (s *Scene) requestScreens() []Screen {
	at := func(name string) string { return "/webhooks/" + s.Webhooks[name] + "/requests" }
	return []Screen{
		{Name: "webhook-dressed", Path: "/webhooks/" + s.Webhooks[Provisioning]},
		{Name: "webhook-requests", Path: at(Provisioning)},
		{Name: "webhook-requests-none", Path: at(Contractors)},
		{Name: "webhook-requests-wrong", Path: at(Provisioning), Before: func(t *Tab) {
			t.Fill("Name", "Authorization")
			t.Follow("button", "Set the header")
			t.UntilText("which is reserved")
		}},
		{Name: "webhook-secret-made", Path: at(Notices), Before: func(t *Tab) {
			t.Fill("Keep the one before for", "0")
			t.Follow("button", secretButton(t))
			t.UntilText("it is never shown again")
		}},
	}
}

// secretButton is what the button is called that makes a secret: the first one, or the
// next.
func secretButton(t *Tab) string {
	if t.Has("button", "Make a secret") {
		return "Make a secret"
	}
	return "Rotate the secret"
}
