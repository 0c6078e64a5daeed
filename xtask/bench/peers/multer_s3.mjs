// multer-s3: multer's storage engine for S3, behind Express. Default options.
import express from "express";
import multer from "multer";
import multerS3 from "multer-s3";
import { S3Client } from "@aws-sdk/client-s3";

const s3 = new S3Client({ endpoint: process.env.STORE, forcePathStyle: true });
let count = 0;

const storage = multerS3({
  s3,
  bucket: "uploads",
  key: (request, file, done) => done(null, `${file.fieldname}/${count++}`),
});
const app = express();
app.post("/upload", multer({ storage }).any(), (request, response) => {
  response.json({ files: request.files.map(({ key }) => ({ outcome: "stored", key })) });
});
app.use((error, request, response, next) => response.status(500).json({ error: String(error) }));
app.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("listening"));
