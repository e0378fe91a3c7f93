package detect

import "strings"

// modelPaths are the operations by which the public APIs of language models are known: OpenAI's, Anthropic's, Google's,
// Ollama's, Hugging Face's.
var modelPaths = []string{"/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses", ":generateContent", ":streamGenerateContent", "/api/generate", "/api/chat", "/invoke-with-response-stream", "/generate_stream"}

func model(ep *endpoint) bool {
	for _, p := range modelPaths {
		if strings.HasSuffix(ep.Template, p) {
			return true
		}
	}
	return false
}

// leadsToModel says whether calls of ep usually cause calls of a model. Usually, since of many calls at the same time the wrong
// one may be taken for the cause.
func (ep *endpoint) leadsToModel() bool { return ep.Model >= 5 && ep.Model > 0.3*ep.N }

// markModel finds the endpoints that lead to a model: a workload that calls a model or lists tools serves them, and so
// does what hands a call on to such a workload while it answers.
func (e *Engine) markModel(s *sight) {
	if s.w == nil {
		return
	}
	if s.outside && model(s.ep) {
		s.ep.Model += s.n
	}
	if s.ep.leadsToModel() || strings.HasPrefix(s.ep.Operation, "tools/") {
		if at := e.serving(s); at != nil {
			at.Model += s.n
		}
	}
}

// serving is the endpoint that the calling workload is answering just now on behalf of the same credential, or the last that was called.
func (e *Engine) serving(s *sight) *endpoint {
	if s.w.LastIn == 0 || int64(s.t-s.w.LastInAt) > 5*second {
		return nil
	}
	if s.relay && s.w.LastInWho != s.credKey {
		return nil
	}
	return e.endpoints.peek(s.w.LastIn)
}
