package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// serveGo is the test API on Go's net/http, run in a process of its own. Routes:
//
//	GET HEAD /items/{id}  200, a small JSON body that grows with the id's length
//	DELETE   /items/{id}  204
//	POST     /items       201, reads any body
//	PUT      /upload/{id} 200, reads any body
//	GET      /big         200, 256 KiB with Content-Length
//	GET      /stream      200, 64 KiB chunked, in pieces of 4 KiB
//	GET      /slow        200, after 300 ms
//	else                  404
func serveGo(port, logFile string) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	var mu sync.Mutex
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.Copy(io.Discard, r.Body)
		status, sent := 200, 0
		reply := func(code int, b string) {
			status = code
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			w.WriteHeader(code)
			if r.Method != http.MethodHead {
				sent, _ = io.WriteString(w, b)
			}
		}
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, "/items/"):
			if id := path[len("/items/"):]; r.Method == http.MethodDelete {
				status = 204
				w.WriteHeader(204)
			} else {
				reply(200, fmt.Sprintf(`{"id":%q,"tags":%q}`, id, strings.Repeat("a", 5*len(id))))
			}
		case path == "/items" && r.Method == http.MethodPost:
			reply(201, fmt.Sprintf(`{"stored":%d}`, body))
		case strings.HasPrefix(path, "/upload/"):
			reply(200, fmt.Sprintf(`{"stored":%d}`, body))
		case path == "/big":
			reply(200, strings.Repeat("x", 256<<10))
		case path == "/stream":
			for range 16 {
				n, _ := io.WriteString(w, strings.Repeat("y", 4096))
				sent += n
				w.(http.Flusher).Flush()
			}
		case path == "/slow":
			time.Sleep(300 * time.Millisecond)
			reply(200, "late")
		default:
			reply(404, "no such thing")
		}
		line, _ := json.Marshal(entry{r.Method, r.URL.RequestURI(), status, body, int64(sent)})
		mu.Lock()
		defer mu.Unlock()
		out.Write(append(line, '\n'))
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	log.Fatal(http.Serve(l, http.HandlerFunc(handler)))
}

// entry is one line of a server's log.
type entry struct {
	Method   string `json:"m"`
	Path     string `json:"p"`
	Status   int    `json:"s"`
	Request  int64  `json:"q"`
	Response int64  `json:"r"`
}

const nginxConf = `daemon off; worker_processes 1; pid DIR/nginx.pid; error_log DIR/error.log;
events { worker_connections 4096; }
http {
 map $content_length $length { default $content_length; '' 0; }
 log_format truth escape=json '{"m":"$request_method","p":"$request_uri","s":$status,"q":$length,"r":$body_bytes_sent}';
 access_log LOG truth; sendfile on; keepalive_requests 1000000; client_max_body_size 64m;
 client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
 default_type application/octet-stream;
 server { listen 127.0.0.1:PORT backlog=2048; root DIR/www;
  location /items/ { if ($request_method = DELETE) { return 204; } return 200 '{"path":"$uri"}'; }
  location = /items { return 201 '{"stored":true}'; }
  location /upload/ { return 200 '{"stored":true}'; }
  location = /slow { return 200 'late'; }
  location = /stream { return 200 'not streamed here'; }
 } }
`

const apacheConf = `ServerRoot DIR
PidFile DIR/httpd.pid
ServerName localhost
Listen 127.0.0.1:PORT
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
ErrorLog DIR/error.log
LogFormat "{\"m\":\"%m\",\"p\":\"%U%q\",\"s\":%>s,\"q\":0,\"r\":%B}" truth
CustomLog LOG truth
DocumentRoot DIR/www
MaxKeepAliveRequests 0
KeepAliveTimeout 30
ListenBackLog 2048
StartServers 2
ThreadsPerChild 128
ThreadLimit 128
MaxRequestWorkers 512
<Directory DIR/www>
 Require all granted
</Directory>
`
