// The usual way in Node: busboy takes the form apart, lib-storage's Upload sends each file. Default options.
import http from "node:http";
import busboy from "busboy";
import { S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";

const client = new S3Client({ endpoint: process.env.STORE, forcePathStyle: true });
let count = 0;

const server = http.createServer((request, response) => {
  const uploads = [];
  const form = busboy({ headers: request.headers });
  form.on("file", (field, stream) => {
    const params = { Bucket: "uploads", Key: `${field}/${count++}`, Body: stream };
    uploads.push(new Upload({ client, params }).done());
  });
  const answer = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  const fail = (error) => answer(500, { error: String(error) });
  form.on("error", fail);
  form.on("close", () => Promise.all(uploads).then(
    (stored) => answer(200, { files: stored.map(({ Key }) => ({ outcome: "stored", key: Key })) }),
    fail,
  ));
  request.pipe(form);
});
server.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("listening"));
