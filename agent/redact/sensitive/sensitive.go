// Package sensitive recognises personal and secret data, by the names of fields and by what values look like: check digits, formats, the
// prefixes of known issuers.
//
// In: the decoded name of a field, its value and the value's kind. Out: a class. It keeps nothing and allocates nothing per value; a class is
// told only where a value can be that, so that a column of numbers is no list of cards.
package sensitive

import (
	"bytes"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// Name is what a parameter's name tells of its value.
type Name uint8

// The classes of names.
const (
	Open      Name = iota
	Key            // an API key
	Token          // a bearer token
	Secret         // a password, a code, a PIN: never anything but kind and hash
	Signature      // a keyed signature of the request
	User           // whom a password belongs to
)

// NameOf classes a decoded name; case, dashes and underscores do not matter.
func NameOf(b []byte) Name {
	var t [24]byte
	n := 0
	for _, c := range b {
		if c == '-' || c == '_' || c == '.' {
			continue
		}
		if n == len(t) {
			return Open
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		t[n] = c
		n++
	}
	switch string(t[:n]) {
	case "apikey", "key", "xapikey", "appkey", "apitoken", "subscriptionkey", "accesskey", "appid", "licensekey":
		return Key
	case "accesstoken", "token", "authtoken", "idtoken", "jwt", "bearer", "bearertoken", "sessiontoken":
		return Token
	case "password", "passwd", "pwd", "pass", "passphrase", "secret", "clientsecret", "apisecret", "pin", "otp", "totp", "code", "refreshtoken", "newpassword", "oldpassword",
		"currentpassword", "passwordconfirmation", "confirmpassword", "cvv", "cvc", "securitycode", "privatekey", "secretkey", "mfacode", "resettoken", "csrftoken", "credential", "credentials",
		"session", "sessionid", "sid", "answer", "assertion", "clientassertion", "signingkey":
		return Secret
	case "signature", "sig", "hmac", "xamzsignature", "xgoogsignature", "sign":
		return Signature
	case "username", "user", "login", "email":
		return User
	}
	return Open
}

// Class is a class of personal or secret data. The set is closed.
type Class uint8

// The classes.
const (
	None Class = iota
	Email
	Phone
	Card
	IBAN
	NationalID
	Birth
	Person
	Address
	Coordinates
	IP
	Password
	SecretData
	APIKey
	PrivateKey
	JWT
)

var classNames = [...]string{"", "email", "phone", "payment_card", "iban", "national_id", "date_of_birth", "person_name", "address", "coordinates", "ip", "password",
	"secret", "api_key", "private_key", "jwt"}

func (c Class) String() string { return classNames[c] }

// Field is what a field's name promises of its value.
type Field struct{ class Class }

// Personal says that a value of the field may never leave, not even as a word of the list.
func (f Field) Personal() bool { return f.class != None }

// FieldOf classes a field by its decoded name; case, dashes and underscores do not matter.
func FieldOf(b []byte) Field {
	switch NameOf(b) {
	case Secret:
		t := fold(b)
		if contains(t, "pass") || contains(t, "pwd") || string(t) == "pin" {
			return Field{Password}
		}
		return Field{SecretData}
	case Token:
		return Field{SecretData}
	}
	t := fold(b)
	switch string(t) {
	case "apikey", "apitoken", "accesskey", "accesskeyid", "xapikey":
		return Field{APIKey}
	case "ssn", "socialsecuritynumber", "nationalid", "nationalidentifier", "taxid", "taxidentifier", "tin", "passport", "passportnumber", "passportno", "sin", "nin", "cpf", "nif", "dni", "curp",
		"aadhaar", "personalid", "personalnumber", "idnumber", "identitynumber", "driverslicense", "driverlicense", "driverslicensenumber", "licensenumber", "steuerid", "pesel", "bsn", "nino":
		return Field{NationalID}
	case "dateofbirth", "dob", "birthdate", "birthday", "birth", "bornon", "born":
		return Field{Birth}
	case "firstname", "lastname", "fullname", "surname", "givenname", "familyname", "middlename", "customername", "cardholder", "cardholdername", "holdername", "patientname",
		"maidenname", "legalname", "recipientname", "contactname", "personname", "forename":
		return Field{Person}
	case "street", "streetaddress", "address", "addressline1", "addressline2", "address1", "address2", "line1", "line2", "postalcode", "zipcode", "postcode", "zip", "homeaddress",
		"shippingaddress", "billingaddress", "streetname", "houseNumber", "housenumber", "postaladdress", "mailingaddress":
		return Field{Address}
	case "lat", "lng", "lon", "latitude", "longitude", "coordinates", "geo", "latlng", "geolocation":
		return Field{Coordinates}
	case "cardnumber", "creditcard", "creditcardnumber", "pan", "ccnumber", "cardno", "card", "debitcard":
		return Field{Card}
	case "iban", "bankaccount", "accountnumber", "bankaccountnumber":
		return Field{IBAN}
	case "email", "emailaddress", "mail", "useremail", "contactemail":
		return Field{Email}
	}
	for _, w := range [...]string{"phone", "mobile", "telephone", "msisdn", "cellphone"} {
		if contains(t, w) {
			return Field{Phone}
		}
	}
	if string(t) == "tel" || string(t) == "fax" {
		return Field{Phone}
	}
	if contains(t, "password") || contains(t, "passwd") {
		return Field{Password}
	}
	if contains(t, "secret") || contains(t, "privatekey") {
		return Field{SecretData}
	}
	return Field{}
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

// Of classes the decoded string s of a field: by what it is, and where that says nothing, by what the field's name promises as far as s
// can be that.
func Of(f Field, kind event.Kind, s []byte) Class {
	if len(s) == 0 {
		return None
	}
	switch f.class {
	case Password:
		return Password
	}
	switch kind {
	case event.KindEmail:
		return Email
	case event.KindJWT:
		return JWT
	case event.KindIP:
		return IP
	case event.KindPhone:
		return Phone
	case event.KindURL:
		if urlSecret(s) {
			return SecretData
		}
		return None
	}
	var letters, digits, spaces, others, ats int
	for _, c := range s {
		switch {
		case letter(c):
			letters++
		case digit(c):
			digits++
		case c == ' ':
			spaces++
		case c == '@':
			ats++
		default:
			others++
		}
	}
	if KeyPrefix(s) {
		return APIKey
	}
	if bytes.HasPrefix(s, []byte("-----BEGIN ")) && contains(s, "PRIVATE KEY") {
		return PrivateKey
	}
	if letters == 0 && digits >= 13 && digits <= 19 && isCard(s) {
		return Card
	}
	if letters >= 2 && digits >= 8 && others == 0 && isIBAN(s) {
		return IBAN
	}
	if letters == 0 && digits == 9 && len(s) == 11 && isSSN(s) {
		return NationalID
	}
	if letters == 0 && digits >= 8 && digits <= 15 && s[0] == '+' {
		return Phone
	}
	if ats > 0 && hasEmail(s) {
		return Email
	}
	switch f.class {
	case Phone:
		if digits >= 6 && digits <= 15 && letters == 0 {
			return Phone
		}
	case NationalID:
		if digits >= 5 && len(s) <= 24 && spaces < 3 {
			return NationalID
		}
	case Birth:
		if kind == event.KindDate || kind == event.KindDateTime || digits >= 6 && letters == 0 && len(s) <= 12 {
			return Birth
		}
	case Person:
		if (letters >= 2 || ats == 0 && hasOther(s)) && digits == 0 && len(s) <= 80 {
			return Person
		}
	case Address:
		if (letters > 0 || digits >= 4) && kind != event.KindHost && kind != event.KindHex && kind != event.KindUUID && len(s) <= 200 {
			return Address
		}
	case Coordinates:
		if digits >= 3 && letters == 0 {
			return Coordinates
		}
	case SecretData:
		if len(s) >= 6 {
			return SecretData
		}
	case APIKey:
		if len(s) >= 8 {
			return APIKey
		}
	}
	return None
}

// OfNumber classes a number of JSON.
func OfNumber(f Field, s []byte) Class {
	switch {
	case f.class == Password:
		return Password
	case f.class == Coordinates && bytes.IndexByte(s, '.') > 0:
		return Coordinates
	case len(s) >= 14 && len(s) <= 16 && isCard(s):
		return Card
	case f.class == Phone && len(s) >= 7 && len(s) <= 15 && allDigits(s):
		return Phone
	case f.class == NationalID && len(s) >= 6 && len(s) <= 18 && allDigits(s):
		return NationalID
	}
	return None
}

func hasOther(s []byte) bool {
	for _, c := range s {
		if c >= 0x80 {
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
		if digit(c) {
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
	if n < 15 || !letter(t[0]) || !letter(t[1]) || !digit(t[2]) || !digit(t[3]) {
		return false
	}
	rest := 0
	for i := range n {
		switch c := t[(i+4)%n]; {
		case digit(c):
			rest = (rest*10 + int(c-'0')) % 97
		case letter(c):
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

// hasEmail says that an e-mail address stands somewhere in s: a name, an @, and a domain of at least two labels.
func hasEmail(s []byte) bool {
	for i, c := range s {
		if c != '@' || i == 0 || !nameByte(s[i-1]) && s[i-1] != '.' && s[i-1] != '+' {
			continue
		}
		end := i + 1
		for end < len(s) && (letter(s[end]) || digit(s[end]) || s[end] == '-' || s[end] == '.') {
			end++
		}
		domain := bytes.TrimRight(s[i+1:end], ".")
		dot := bytes.LastIndexByte(domain, '.')
		if dot <= 0 || len(domain)-dot < 3 || domain[0] == '.' {
			continue
		}
		top := true
		for _, d := range domain[dot+1:] {
			top = top && letter(d)
		}
		if top {
			return true
		}
	}
	return false
}

var keyPrefixes = [...]string{"sk_live_", "sk_test_", "rk_live_", "pk_live_", "AKIA", "ASIA", "ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "xoxa-", "AIza",
	"ya29.", "SG.", "npm_", "dop_v1_", "sk-ant-", "sk-proj-", "hf_", "shpat_", "whsec_", "EAAC", "dckr_pat_", "pypi-", "lin_api_", "hvs."}

// KeyPrefix says that s is a key of a known issuer.
func KeyPrefix(s []byte) bool {
	if len(s) < 16 || len(s) > 255 {
		return false
	}
	for _, p := range keyPrefixes {
		if string(s[:min(len(p), len(s))]) == p {
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
	i := bytes.IndexByte(s, ':')
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

func letter(c byte) bool   { return (c|0x20)-'a' < 26 }
func digit(c byte) bool    { return c-'0' < 10 }
func nameByte(c byte) bool { return letter(c) || digit(c) || c == '-' || c == '_' }

func allDigits(b []byte) bool {
	for _, c := range b {
		if !digit(c) {
			return false
		}
	}
	return len(b) > 0
}

// contains looks into the first 200 bytes.
func contains(b []byte, s string) bool {
	b = b[:min(len(b), 200)]
	for i := 0; i+len(s) <= len(b); i++ {
		if b[i] == s[0] && string(b[i:i+len(s)]) == s {
			return true
		}
	}
	return false
}
