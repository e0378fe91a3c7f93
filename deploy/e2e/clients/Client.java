import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Client.java PORT: as client.py, with java.net.http. */
public class Client {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String[] f = line.split(" ");
            byte[] body = "b".repeat(Integer.parseInt(f[2])).getBytes();
            HttpRequest.BodyPublisher p = body.length > 0 ? HttpRequest.BodyPublishers.ofByteArray(body) : HttpRequest.BodyPublishers.noBody();
            client.send(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + args[0] + f[1])).method(f[0], p).build(),
                HttpResponse.BodyHandlers.discarding());
        }
    }
}
