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

// markModel finds the endpoints that lead to a model: a workload that calls a model or lists tools serves them, and so
// does what hands a call on to such a workload while it answers.
func (e *Engine) markModel(s *sight) {
	if s.w == nil {
		return
	}
	if s.ep.Model > 0 || strings.HasPrefix(s.ep.Operation, "tools/") {
		if at := e.serving(s); at != nil {
			at.Model = s.t
		}
	}
}

// serving is the endpoint that the calling workload is answering just now on behalf of the same credential, or the last that was called.
func (e *Engine) serving(s *sight) *endpoint {
	if s.w.LastIn == 0 || int64(s.t-s.w.LastInAt) > 5*second {
		return nil
	}
	if s.w.LastInWho != s.credKey && s.cred != nil {
		return nil
	}
	return e.endpoints.peek(s.w.LastIn)
}
