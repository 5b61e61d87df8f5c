// Fetches, uploads and downloads: BASE FILE PROTOCOL CA. Says as JSON what came.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func take(response *http.Response, err error) (string, string, string) {
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	digest := sha256.New()
	var small [64]byte
	read, _ := io.ReadFull(io.TeeReader(response.Body, digest), small[:])
	if _, err := io.Copy(digest, response.Body); err != nil {
		log.Fatal(err)
	}
	return string(small[:read]), fmt.Sprintf("%x", digest.Sum(nil)), response.Proto
}

func client(protocol, ca string) *http.Client {
	pem, err := os.ReadFile(ca)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(protocol == "h1" || protocol == "h1s")
	protocols.SetHTTP2(protocol == "h2")
	protocols.SetUnencryptedHTTP2(protocol == "h2c")
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: protocols}}
}

func main() {
	base, file := os.Args[1], os.Args[2]
	client := client(os.Args[3], os.Args[4])
	found := map[string]string{}
	found["fetch"], _, found["protocol"] = take(client.Get(base + "/hello"))
	body, err := os.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	// A body whose length Go does not know: HTTP/1.1 sends it in chunks.
	found["upload"], _, _ = take(client.Post(base+"/upload", "application/octet-stream", io.NopCloser(body)))
	_, found["download"], _ = take(client.Get(base + "/download"))
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		log.Fatal(err)
	}
}
