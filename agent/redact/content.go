package redact

import (
	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/agent/redact/hostile"
	"github.com/gnomon-sensor/gnomon/agent/redact/sensitive"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const maxBodyParams = 24 // of one Call

// readBodies fills dst's body shapes, data classes and body parameters from x, as far as the budget lets it.
func (r *Redactor) readBodies(dst *event.Call, scope sipKey, x *proto.Exchange, auth *credential) hostile.Signs {
	r.req.Body, r.req.Media, r.req.Coding = x.Req.Body, dst.RequestType, r.encoding[proto.Request]
	r.res.Body, r.res.Media, r.res.Coding = x.Res.Body, dst.ResponseType, r.encoding[proto.Response]
	r.req.Whole = int64(len(x.Req.Body)) >= x.Req.Bytes && !x.Req.Open
	r.res.Whole = int64(len(x.Res.Body)) >= x.Res.Bytes && !x.Res.Open
	if !r.bodies.Allow(&r.req, &r.res, x.Start) {
		return 0
	}
	r.dst, r.scoped, r.bodyParams, r.client, r.clientID = dst, scope, 0, false, ""
	q := r.bodies.Request(&r.req, r)
	s := r.bodies.Response(&r.res)
	r.dst, r.req.Body, r.res.Body = nil, nil, nil
	dst.RequestBody, dst.Data.Request = q.Shape, q.Data
	dst.ResponseBody, dst.Data.Response = s.Shape, s.Data
	switch {
	case r.client && r.clientID != "":
		*auth = credential{kind: event.AuthOAuth2Client, fingerprint: r.clientID}
	case r.client && auth.kind == event.AuthBasic:
		auth.kind = event.AuthOAuth2Client
	}
	return q.Signs
}

// fieldName is what of a field's name may leave; "" when it is data.
func (r *Redactor) fieldName(key []byte) string {
	if t := r.name(key); t != "" && t[0] != '{' {
		return t
	}
	return ""
}

// bodyKind classifies a value of a body; of long ones only what matters for data.
func bodyKind(v []byte) event.Kind {
	if len(v) <= maxName {
		kind, _ := Classify(v)
		return kind
	}
	if isJWT(v) {
		return event.KindJWT
	}
	return event.KindString
}

// Scalar implements body.Sink: it makes a scalar of the request's body a parameter, the first one at each place, and looks for what an OAuth 2
// client sends (RFC 6749 section 4.4.2).
func (r *Redactor) Scalar(at, raw string, about sensitive.Field, kind event.Kind, v []byte) {
	switch raw {
	case "grant_type":
		r.client = r.client || string(v) == "client_credentials"
	case "client_secret", "client_assertion":
		r.client = true
	case "client_id":
		r.clientID = r.fingerprint("oauth2_client", v)
	}
	if r.bodyParams >= maxBodyParams {
		return
	}
	name := at[2:]
	for i := len(r.dst.Params) - 1; i >= 0 && r.dst.Params[i].In == event.InBody; i-- {
		if r.dst.Params[i].Name == name {
			return
		}
	}
	r.key = append(append(append(r.key[:0], 255), r.dst.Service...), 0)
	r.key = append(append(append(r.key, at...), 0), v...)
	known, ok := r.values.At(r.key)
	if !ok {
		*known = value{params: known.params[:0]}
		q := event.Param{In: event.InBody, Name: name, Kind: kind}
		if len(v) == 0 {
			q.Kind = event.KindEmpty
		} else {
			r.small = append(append(append(r.small[:0], byte(event.InBody)), at...), 0)
			q.Hash = r.scoped.sub(r.small).hash(v)
			if len(v) <= 24 && !about.Personal() {
				q.Word = word(v)
			}
		}
		known.params = append(known.params, q)
	}
	r.bodyParams++
	r.dst.Params = append(r.dst.Params, known.params...)
}
