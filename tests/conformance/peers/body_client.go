// Fetches, uploads and downloads: BASE FILE. Says as JSON what came.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func take(response *http.Response, err error) (string, string) {
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
	return string(small[:read]), fmt.Sprintf("%x", digest.Sum(nil))
}

func main() {
	base, file := os.Args[1], os.Args[2]
	found := map[string]string{}
	found["fetch"], _ = take(http.Get(base + "/hello"))
	body, err := os.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	// A body whose length Go does not know: it goes out in chunks.
	found["upload"], _ = take(http.Post(base+"/upload", "application/octet-stream", io.NopCloser(body)))
	_, found["download"] = take(http.Get(base + "/download"))
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		log.Fatal(err)
	}
}
