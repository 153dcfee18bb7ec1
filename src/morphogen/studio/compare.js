import "./studio.js";
