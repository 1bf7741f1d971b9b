// The oracle's application in Go: as steps.py says, with pools of POOL connections and a lock.
package main

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/gomodule/redigo/redis"
)

var (
	children   = []string{"s", "r", "h", "l"}
	background = []string{"r", "l", "s"}

	database *sql.DB
	stores   *redis.Pool
	client   *http.Client
	lock     sync.Mutex
)

func main() {
	size, err := strconv.Atoi(os.Getenv("POOL"))
	must(err)
	database, err = sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(127.0.0.1:%s)/%s",
		os.Getenv("DB_USER"), os.Getenv("DB_PASSWORD"), os.Getenv("DB_PORT"), os.Getenv("DB_NAME")))
	must(err)
	database.SetMaxOpenConns(size)
	database.SetMaxIdleConns(size)
	stores = &redis.Pool{MaxIdle: size, MaxActive: size, Wait: true, Dial: func() (redis.Conn, error) {
		return redis.Dial("tcp", "127.0.0.1:"+os.Getenv("REDIS_PORT"))
	}}
	client = &http.Client{Transport: &http.Transport{MaxConnsPerHost: size, MaxIdleConnsPerHost: size}}
	http.HandleFunc("/", serve)
	must(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}

func serve(response http.ResponseWriter, request *http.Request) {
	parts := strings.Split(request.URL.Path, "/")
	mode, name := parts[1], parts[2]
	if mode == "background" {
		go later("bg" + name)
	}
	if mode == "children" {
		together("ga" + name)
	}
	for number, step := range strings.Split(request.URL.Query().Get("steps"), ",") {
		pause, err := strconv.Atoi(step[1:])
		must(err)
		time.Sleep(time.Duration(pause) * time.Millisecond)
		if mode == "lock" {
			lock.Lock()
		}
		call(step[:1], name, number)
		if mode == "lock" {
			lock.Unlock()
		}
	}
	io.WriteString(response, name)
}

func call(kind, name string, number int) {
	switch kind {
	case "s":
		var one int
		must(database.QueryRow(fmt.Sprintf("SELECT %d AS %s_%d", number, name, number)).Scan(&one))
	case "r":
		connection := stores.Get()
		_, err := connection.Do("GET", fmt.Sprintf("%s:%d", name, number))
		must(err)
		must(connection.Close())
	case "h":
		response, err := client.Get(fmt.Sprintf("%s/down/%s/%d", os.Getenv("DOWNSTREAM"), name, number))
		must(err)
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	default:
		fmt.Printf("INFO line %s_%d\n", name, number)
	}
}

func later(name string) {
	time.Sleep(2 * time.Millisecond)
	for number, kind := range background {
		call(kind, name, number)
	}
}

func together(name string) {
	var all sync.WaitGroup
	for number, kind := range children {
		all.Add(1)
		go func(kind string, number int) {
			defer all.Done()
			call(kind, name, number)
		}(kind, number)
	}
	all.Wait()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
