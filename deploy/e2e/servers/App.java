import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** The test API on Java's built-in HttpServer: App.java PORT LOG. Log and routes as in app.py. */
public class App {
    static FileOutputStream log;

    static void handle(HttpExchange x) throws IOException {
        long body = 0;
        byte[] buf = new byte[65536];
        for (int n; (n = x.getRequestBody().read(buf)) > 0; ) body += n;
        String method = x.getRequestMethod(), path = x.getRequestURI().toString(), route = path.split("\\?")[0];
        int status = 200;
        byte[] out = new byte[0];
        boolean chunked = false;
        if (route.startsWith("/items/")) {
            String id = route.substring("/items/".length());
            if (method.equals("DELETE")) status = 204;
            else out = ("{\"id\":\"" + id + "\",\"tags\":\"" + "a".repeat(id.length() * 5) + "\"}").getBytes(StandardCharsets.UTF_8);
        } else if (route.equals("/items") && method.equals("POST")) {
            status = 201;
            out = ("{\"stored\":" + body + "}").getBytes(StandardCharsets.UTF_8);
        } else if (route.startsWith("/upload/")) out = ("{\"stored\":" + body + "}").getBytes(StandardCharsets.UTF_8);
        else if (route.equals("/big")) out = "x".repeat(262144).getBytes(StandardCharsets.UTF_8);
        else if (route.equals("/stream")) {
            out = "y".repeat(65536).getBytes(StandardCharsets.UTF_8);
            chunked = true;
        } else if (route.equals("/slow")) {
            try { Thread.sleep(300); } catch (InterruptedException e) { throw new IOException(e); }
            out = "late".getBytes(StandardCharsets.UTF_8);
        } else {
            status = 404;
            out = "no such thing".getBytes(StandardCharsets.UTF_8);
        }
        long sent = 0;
        if (method.equals("HEAD") || status == 204) x.sendResponseHeaders(status, -1);
        else {
            x.sendResponseHeaders(status, chunked ? 0 : out.length);
            try (OutputStream o = x.getResponseBody()) {
                for (int i = 0; i < out.length; i += 4096) o.write(out, i, Math.min(4096, out.length - i));
            }
            sent = out.length;
        }
        x.close();
        byte[] line = String.format("{\"m\":\"%s\",\"p\":\"%s\",\"s\":%d,\"q\":%d,\"r\":%d}\n", method, path, status, body, sent)
            .getBytes(StandardCharsets.UTF_8);
        synchronized (log) { log.write(line); }
    }

    public static void main(String[] args) throws Exception {
        log = new FileOutputStream(args[1], true);
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 2048);
        server.createContext("/", App::handle);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
        System.out.println("ready");
    }
}
