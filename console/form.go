package console

// field is one of a form's, for the template of its kind: what it is called, what
// stands in it, and what is wrong with that.
type field struct {
	Name    string
	Label   string
	Value   string
	Hint    string
	Problem string // the rule that the value breaks, without the field's name
}

// newField is for templates.
func newField(name, label, value, hint string, problems map[string]string) field {
	return field{Name: name, Label: label, Value: value, Hint: hint, Problem: problems[name]}
}

// formField is a hidden one, for a form that is sent once more.
type formField struct{ Name, Value string }
