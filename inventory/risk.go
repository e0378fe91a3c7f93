package inventory

import "slices"

// risks gathers what makes a service a risk, by rules that a person can check; nothing here is learned.
type risks struct {
	high, medium []string
}

// endpoint judges one endpoint that answers.
func (r *risks) endpoint(c *Catalog, g *endpointGroup, e *evidence) {
	var anonymous, identified, plain bool
	for _, x := range c.facts(e, factAuth, authWord) {
		anonymous = anonymous || x.Name == "none"
		identified = identified || x.Name != "none"
	}
	for _, x := range c.facts(e, factEncryption, encryptionWord) {
		plain = plain || x.Name == "plaintext"
	}
	sensitive := len(c.dataClasses(e)) > 0
	confirmed := e.tier() == Confirmed
	switch g.key.method {
	case "POST", "PUT", "PATCH", "DELETE":
		if confirmed && anonymous {
			r.add(&r.medium, "writes without authentication")
		}
	}
	if sensitive && confirmed && anonymous {
		r.add(&r.high, "sensitive data without authentication")
	}
	if sensitive && plain {
		r.add(&r.high, "sensitive data in plaintext")
	}
	if identified && plain {
		r.add(&r.medium, "credentials in plaintext")
	}
	if len(c.words(e, wordSign)) > 0 {
		r.add(&r.medium, "hostile requests seen")
	}
	for _, w := range c.words(e, wordAlgorithm) {
		if w.Name == "none" {
			r.add(&r.high, "tokens without signature accepted")
		}
	}
}

func (r *risks) add(list *[]string, why string) {
	if !slices.Contains(*list, why) {
		*list = append(*list, why)
	}
}

func (r *risks) level() (string, []string) {
	slices.Sort(r.high)
	slices.Sort(r.medium)
	all := append(append([]string{}, r.high...), r.medium...)
	switch {
	case len(r.high) > 0:
		return "high", all
	case len(r.medium) > 0:
		return "medium", all
	}
	return "low", all
}
