<?xml version="1.0" encoding="UTF-8"?>
<!--
  Canonical XML to JSON Lines: one object per line, nothing lost. README.md describes the objects.

  Every attribute is written, known or not, under the name it has in the canonical XML, as a string: a 64-bit
  number would lose digits in most JSON readers. So an attribute that is younger than this stylesheet is carried.
-->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:c="urn:chancery:1"
                xmlns:exsl="http://exslt.org/common"
                xmlns:str="http://exslt.org/strings"
                extension-element-prefixes="exsl str"
                exclude-result-prefixes="c">

  <xsl:output method="text" encoding="UTF-8" media-type="application/x-ndjson"/>

  <xsl:template match="/">
    <xsl:apply-templates select="Conversations/Conversation"/>
  </xsl:template>

  <!-- A line for the conversation and its participants, then one for each message. -->
  <xsl:template match="Conversation">
    <xsl:text>{"record":"conversation"</xsl:text>
    <xsl:apply-templates select="@*"/>
    <xsl:apply-templates select="Channel | StartTimeUTC | EndTimeUTC" mode="member"/>
    <xsl:if test="c:Participants">
      <xsl:text>,"participants":[</xsl:text>
      <xsl:for-each select="c:Participants/c:Participant">
        <xsl:if test="position() != 1">,</xsl:if>
        <xsl:apply-templates select="." mode="object"/>
      </xsl:for-each>
      <xsl:text>]</xsl:text>
    </xsl:if>
    <xsl:text>}&#10;</xsl:text>
    <xsl:variable name="room">
      <xsl:call-template name="string"><xsl:with-param name="text" select="Channel/@uri"/></xsl:call-template>
    </xsl:variable>
    <!-- FirstMessage repeats the first of these. -->
    <xsl:for-each select="Messages/Message">
      <xsl:text>{"record":"message","room":</xsl:text>
      <xsl:value-of select="$room"/>
      <xsl:apply-templates select="@*"/>
      <xsl:apply-templates select="*" mode="member"/>
      <xsl:text>}&#10;</xsl:text>
    </xsl:for-each>
  </xsl:template>

  <!-- ,"Name":{…} -->
  <xsl:template match="*" mode="member">
    <xsl:value-of select="concat(',&quot;', local-name(), '&quot;:')"/>
    <xsl:apply-templates select="." mode="object"/>
  </xsl:template>

  <xsl:template match="*" mode="object">
    <xsl:text>{</xsl:text>
    <xsl:for-each select="@*">
      <xsl:if test="position() != 1">,</xsl:if>
      <xsl:call-template name="pair"/>
    </xsl:for-each>
    <xsl:text>}</xsl:text>
  </xsl:template>

  <xsl:template match="@*">
    <xsl:text>,</xsl:text>
    <xsl:call-template name="pair"/>
  </xsl:template>

  <!-- "name":"value", with c: before the names of our namespace, whatever prefix the document uses. -->
  <xsl:template name="pair">
    <xsl:text>"</xsl:text>
    <xsl:if test="namespace-uri() = 'urn:chancery:1'">c:</xsl:if>
    <xsl:value-of select="concat(local-name(), '&quot;:')"/>
    <xsl:call-template name="string"><xsl:with-param name="text" select="."/></xsl:call-template>
  </xsl:template>

  <!-- ============================== strings ============================== -->

  <!-- What JSON forbids inside a string, as far as XML can hold it. -->
  <xsl:variable name="escapes">
    <from>\</from><to>\\</to>
    <from>"</from><to>\"</to>
    <from><xsl:text>&#9;</xsl:text></from><to>\t</to>
    <from><xsl:text>&#10;</xsl:text></from><to>\n</to>
    <from><xsl:text>&#13;</xsl:text></from><to>\r</to>
  </xsl:variable>
  <xsl:variable name="from" select="exsl:node-set($escapes)/from"/>
  <xsl:variable name="to" select="exsl:node-set($escapes)/to"/>

  <xsl:template name="string">
    <xsl:param name="text"/>
    <xsl:text>"</xsl:text>
    <xsl:choose>
      <!-- Most texts need no escape, and looking is cheaper than replacing. -->
      <xsl:when test="translate($text, '\&quot;&#9;&#10;&#13;', '') = $text"><xsl:value-of select="$text"/></xsl:when>
      <xsl:otherwise><xsl:value-of select="str:replace($text, $from, $to)"/></xsl:otherwise>
    </xsl:choose>
    <xsl:text>"</xsl:text>
  </xsl:template>
</xsl:stylesheet>
