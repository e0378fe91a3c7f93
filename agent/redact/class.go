package redact

import "github.com/gnomon-sensor/gnomon/inventory/event"

// dataClass is a class of personal or secret data. The set is closed.
type dataClass uint8

const (
	noClass dataClass = iota
	classEmail
	classPhone
	classCard
	classIBAN
	classNationalID
	classBirth
	classPerson
	classAddress
	classCoordinates
	classIP
	classPassword
	classSecret
	classAPIKey
	classPrivateKey
	classJWT
)

var classNames = [...]string{"", "email", "phone", "payment_card", "iban", "national_id", "date_of_birth", "person_name", "address", "coordinates", "ip", "password",
	"secret", "api_key", "private_key", "jwt"}

// field is what a field's name promises of its value.
type field struct{ class dataClass }

// personal says that a value of the field may never leave, not even as a word of the list.
func (f field) personal() bool { return f.class != noClass }

// aboutField classes a field by its decoded name; case, dashes and underscores do not matter.
func aboutField(b []byte) field {
	switch secretName(b) {
	case nameSecret:
		t := fold(b)
		if contains(t, "pass") || contains(t, "pwd") || string(t) == "pin" {
			return field{classPassword}
		}
		return field{classSecret}
	case nameToken:
		return field{classSecret}
	}
	t := fold(b)
	switch string(t) {
	case "apikey", "apitoken", "accesskey", "accesskeyid", "xapikey":
		return field{classAPIKey}
	case "ssn", "socialsecuritynumber", "nationalid", "nationalidentifier", "taxid", "taxidentifier", "tin", "passport", "passportnumber", "passportno", "sin", "nin", "cpf", "nif", "dni", "curp",
		"aadhaar", "personalid", "personalnumber", "idnumber", "identitynumber", "driverslicense", "driverlicense", "driverslicensenumber", "licensenumber", "steuerid", "pesel", "bsn", "nino":
		return field{classNationalID}
	case "dateofbirth", "dob", "birthdate", "birthday", "birth", "bornon", "born":
		return field{classBirth}
	case "firstname", "lastname", "fullname", "surname", "givenname", "familyname", "middlename", "customername", "cardholder", "cardholdername", "holdername", "patientname",
		"maidenname", "legalname", "recipientname", "contactname", "personname", "forename":
		return field{classPerson}
	case "street", "streetaddress", "address", "addressline1", "addressline2", "address1", "address2", "line1", "line2", "postalcode", "zipcode", "postcode", "zip", "homeaddress",
		"shippingaddress", "billingaddress", "streetname", "houseNumber", "housenumber", "postaladdress", "mailingaddress":
		return field{classAddress}
	case "lat", "lng", "lon", "latitude", "longitude", "coordinates", "geo", "latlng", "geolocation":
		return field{classCoordinates}
	case "cardnumber", "creditcard", "creditcardnumber", "pan", "ccnumber", "cardno", "card", "debitcard":
		return field{classCard}
	case "iban", "bankaccount", "accountnumber", "bankaccountnumber":
		return field{classIBAN}
	case "email", "emailaddress", "mail", "useremail", "contactemail":
		return field{classEmail}
	}
	for _, w := range [...]string{"phone", "mobile", "telephone", "msisdn", "cellphone"} {
		if contains(t, w) {
			return field{classPhone}
		}
	}
	if string(t) == "tel" || string(t) == "fax" {
		return field{classPhone}
	}
	if contains(t, "password") || contains(t, "passwd") {
		return field{classPassword}
	}
	if contains(t, "secret") || contains(t, "privatekey") {
		return field{classSecret}
	}
	return field{}
}

// fold is b in lower case without dashes, underscores and dots. At most 40 bytes; valid until returned from the caller.
func fold(b []byte) []byte {
	t := make([]byte, 0, 40)
	for _, c := range b {
		if c == '-' || c == '_' || c == '.' || len(t) == cap(t) {
			continue
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		t = append(t, c)
	}
	return t
}

// classOf classes the decoded string s of a field: by what it is, and where that says nothing, by what the field's name promises as far as s
// can be that.
func classOf(f field, kind event.Kind, s []byte) dataClass {
	if len(s) == 0 {
		return noClass
	}
	switch f.class {
	case classPassword:
		return classPassword
	}
	switch kind {
	case event.KindEmail:
		return classEmail
	case event.KindJWT:
		return classJWT
	case event.KindIP:
		return classIP
	case event.KindPhone:
		return classPhone
	case event.KindURL:
		if urlSecret(s) {
			return classSecret
		}
		return noClass
	}
	var letters, digits, spaces, others, ats int
	for _, c := range s {
		switch classes[c] {
		case cLower, cUpper:
			letters++
		case cDigit:
			digits++
		case cDash:
			others++
		default:
			switch c {
			case ' ':
				spaces++
			case '@':
				ats++
			default:
				others++
			}
		}
	}
	if keyPrefix(s) {
		return classAPIKey
	}
	if has(s, "-----BEGIN ") && contains(s, "PRIVATE KEY") {
		return classPrivateKey
	}
	if letters == 0 && digits >= 13 && digits <= 19 && isCard(s) {
		return classCard
	}
	if letters >= 2 && digits >= 8 && others == 0 && isIBAN(s) {
		return classIBAN
	}
	if letters == 0 && digits == 9 && len(s) == 11 && isSSN(s) {
		return classNationalID
	}
	if letters == 0 && digits >= 8 && digits <= 15 && s[0] == '+' {
		return classPhone
	}
	if ats > 0 && hasEmail(s) {
		return classEmail
	}
	switch f.class {
	case classPhone:
		if digits >= 6 && digits <= 15 && letters == 0 {
			return classPhone
		}
	case classNationalID:
		if digits >= 5 && len(s) <= 24 && spaces < 3 {
			return classNationalID
		}
	case classBirth:
		if kind == event.KindDate || kind == event.KindDateTime || digits >= 6 && letters == 0 && len(s) <= 12 {
			return classBirth
		}
	case classPerson:
		if (letters >= 2 || ats == 0 && hasOther(s)) && digits == 0 && len(s) <= 80 {
			return classPerson
		}
	case classAddress:
		if (letters > 0 || digits >= 4) && kind != event.KindHost && kind != event.KindHex && kind != event.KindUUID && len(s) <= 200 {
			return classAddress
		}
	case classCoordinates:
		if digits >= 3 && letters == 0 {
			return classCoordinates
		}
	case classSecret:
		if len(s) >= 6 {
			return classSecret
		}
	case classAPIKey:
		if len(s) >= 8 {
			return classAPIKey
		}
	}
	return noClass
}

// classOfNumber classes a number of JSON.
func classOfNumber(f field, s []byte) dataClass {
	switch {
	case f.class == classPassword:
		return classPassword
	case f.class == classCoordinates && indexByte(s, '.') > 0:
		return classCoordinates
	case len(s) >= 14 && len(s) <= 16 && isCard(s):
		return classCard
	case f.class == classPhone && len(s) >= 7 && len(s) <= 15 && allDigits(s):
		return classPhone
	case f.class == classNationalID && len(s) >= 6 && len(s) <= 18 && allDigits(s):
		return classNationalID
	}
	return noClass
}

func hasOther(s []byte) bool {
	for _, c := range s {
		if classes[c] == cOther {
			return true
		}
	}
	return false
}

// isCard: 14 to 16 digits in groups, a known issuer range, and the check digit of ISO/IEC 7812-1 annex B (Luhn). 13 and 19 digits are left out:
// hardly any card has them, but milliseconds and ids do.
func isCard(s []byte) bool {
	var d [16]byte
	n := 0
	for i, c := range s {
		if classes[c] == cDigit {
			if n == len(d) {
				return false
			}
			d[n] = c - '0'
			n++
		} else if c != ' ' && c != '-' || i == 0 {
			return false
		}
	}
	if n < 14 {
		return false
	}
	two, four := int(d[0])*10+int(d[1]), int(d[0])*1000+int(d[1])*100+int(d[2])*10+int(d[3])
	switch {
	case n == 16 && d[0] == 4:
	case n == 16 && (two >= 51 && two <= 55 || four >= 2221 && four <= 2720):
	case n == 15 && (two == 34 || two == 37):
	case n == 16 && (four == 6011 || two == 65 || four >= 6440 && four <= 6499 || two == 62):
	case n == 16 && four >= 3528 && four <= 3589:
	case n == 14 && (two == 36 || two == 38 || four >= 3000 && four <= 3059):
	default:
		return false
	}
	sum, same := 0, true
	for i := range n {
		v := int(d[n-1-i])
		if i&1 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
		same = same && d[i] == d[0]
	}
	return sum%10 == 0 && !same
}

// isIBAN: ISO 13616, two letters, two check digits and 11 to 30 more, remainder 1 modulo 97; spaces between groups.
func isIBAN(s []byte) bool {
	var t [34]byte
	n := 0
	for _, c := range s {
		if c == ' ' {
			continue
		}
		if n == len(t) {
			return false
		}
		if c >= 'a' && c <= 'z' {
			c &^= 0x20
		}
		t[n] = c
		n++
	}
	if n < 15 || classes[t[0]] != cUpper || classes[t[1]] != cUpper || classes[t[2]] != cDigit || classes[t[3]] != cDigit {
		return false
	}
	rest := 0
	for i := range n {
		switch c := t[(i+4)%n]; classes[c] {
		case cDigit:
			rest = (rest*10 + int(c-'0')) % 97
		case cUpper:
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return false
		}
	}
	return rest == 1
}

// isSSN: ddd-dd-dddd within the ranges that were ever given out.
func isSSN(s []byte) bool {
	if s[3] != '-' || s[6] != '-' || !allDigits(s[:3]) || !allDigits(s[4:6]) || !allDigits(s[7:]) {
		return false
	}
	area := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	return area != 0 && area != 666 && area < 900 && string(s[4:6]) != "00" && string(s[7:]) != "0000"
}

// hasEmail says that an e-mail address stands somewhere in s.
func hasEmail(s []byte) bool {
	for i, c := range s {
		if c != '@' || i == 0 || !localByte(s[i-1]) {
			continue
		}
		j, dots := i+1, 0
		for j < len(s) {
			if k := classes[s[j]]; k == cDot {
				dots++
			} else if k != cLower && k != cUpper && k != cDigit && k != cDash {
				break
			}
			j++
		}
		for j > i+1 && classes[s[j-1]] == cDot {
			j--
			dots--
		}
		if dots > 0 && isHost(s[i+1:j]) {
			return true
		}
	}
	return false
}

func localByte(c byte) bool {
	switch classes[c] {
	case cLower, cUpper, cDigit, cDash, cUnder, cDot:
		return true
	}
	return c == '+'
}

var keyPrefixes = [...]string{"sk_live_", "sk_test_", "rk_live_", "pk_live_", "AKIA", "ASIA", "ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "xoxa-", "AIza",
	"ya29.", "SG.", "npm_", "dop_v1_", "sk-ant-", "sk-proj-", "hf_", "shpat_", "whsec_", "EAAC", "dckr_pat_", "pypi-", "lin_api_", "hvs."}

// keyPrefix says that s is a key of a known issuer.
func keyPrefix(s []byte) bool {
	if len(s) < 16 || len(s) > 255 {
		return false
	}
	for _, p := range keyPrefixes {
		if has(s, p) {
			for _, c := range s {
				if !nameByte(c) && c != '.' {
					return false
				}
			}
			return true
		}
	}
	return false
}

// urlSecret says that a URL holds a password in its user information.
func urlSecret(s []byte) bool {
	i := indexByte(s, ':')
	if i < 0 || len(s) < i+3 {
		return false
	}
	rest := s[i+3:]
	colon := false
	for _, c := range rest {
		switch c {
		case ':':
			colon = true
		case '@':
			return colon
		case '/', '?', '#':
			return false
		}
	}
	return false
}
